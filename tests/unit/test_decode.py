"""Instruction words (encodings of the Arm ARM) and the class each counts in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.core.decode import instruction_class
from armopt.core.instructions import CLASS_UNIT

WORDS = {
    0x91001020: ("add x0, x1, #4", "integer"),
    0x8B020020: ("add x0, x1, x2", "integer"),
    0x9B020C20: ("madd x0, x1, x2, x3", "multiply"),
    0x9AC20C20: ("sdiv x0, x1, x2", "divide"),
    0xD65F03C0: ("ret", "branch"),
    0x14000001: ("b .+4", "branch"),
    0xD503201F: ("nop", "system"),
    0xD4000001: ("svc #0", "system"),
    0xF9400020: ("ldr x0, [x1]", "load"),
    0xF9000020: ("str x0, [x1]", "store"),
    0x38401420: ("ldrb w0, [x1], #1", "load"),
    0xA94007E0: ("ldp x0, x1, [sp]", "load_pair"),
    0xA9BF7BFD: ("stp x29, x30, [sp, #-16]!", "store_pair"),
    0x885FFC20: ("ldaxr w0, [x1]", "atomic"),
    0xB8E00041: ("ldaddal w0, w1, [x2]", "atomic"),
    0xF9800000: ("prfm pldl1keep, [x0]", "prefetch"),
    0x3DC00020: ("ldr q0, [x1]", "load_vector_128"),
    0xFD400020: ("ldr d0, [x1]", "load_vector_64"),
    0x3D800020: ("str q0, [x1]", "store_vector_128"),
    0xAD400440: ("ldp q0, q1, [x2]", "load_pair_vector_128"),
    0x6DBC27E8: ("stp d8, d9, [sp, #-64]!", "store_pair_vector_64"),
    0x4C407020: ("ld1 {v0.16b}, [x1]", "load_vector_128"),
    0x4C402020: ("ld1 {v0.16b-v3.16b}, [x1]", "load_vector_many"),
    0x4D40C820: ("ld1r {v0.4s}, [x1]", "load_vector_lane"),
    0x4E22CC20: ("fmla v0.4s, v1.4s, v2.4s", "fp_mac"),
    0x4F821020: ("fmla v0.4s, v1.4s, v2.s[0]", "fp_mac"),
    0x4E22D420: ("fadd v0.4s, v1.4s, v2.4s", "fp_vector"),
    0x1F020C20: ("fmadd s0, s1, s2, s3", "fp_scalar"),
    0x4E829420: ("sdot v0.4s, v1.16b, v2.16b", "dot"),
    0x4F82E020: ("sdot v0.4s, v1.16b, v2.4b[0]", "dot"),
    0x4E82A420: ("smmla v0.4s, v1.16b, v2.16b", "i8mm"),
    0x0E628020: ("smlal v0.4s, v1.4h, v2.4h", "int_mac_long"),
    0x0F422020: ("smlal v0.4s, v1.4h, v2.h[0]", "int_mac_long"),
    0x4EA29420: ("mla v0.4s, v1.4s, v2.4s", "int_mac"),
    0x4EA29C20: ("mul v0.4s, v1.4s, v2.4s", "int_multiply"),
    0x6EA2B420: ("sqrdmulh v0.4s, v1.4s, v2.4s", "int_multiply"),
    0x4EA25420: ("srshl v0.4s, v1.4s, v2.4s", "vector_shift_register"),
    0x4E606820: ("sadalp v0.4s, v1.8h", "vector_shift"),
    0x0F08A420: ("sxtl v0.8h, v1.8b", "vector_narrow"),
    0x0E614820: ("sqxtn v0.4h, v1.4s", "vector_narrow"),
    0x4E21A820: ("fcvtns v0.4s, v1.4s", "vector_convert"),
    0x4E21D820: ("scvtf v0.4s, v1.4s", "vector_convert"),
    0x4EA28420: ("add v0.4s, v1.4s, v2.4s", "vector_alu"),
    0x4F00E400: ("movi v0.16b, #0", "vector_alu"),
    0x4E023820: ("zip1 v0.16b, v1.16b, v2.16b", "permute"),
    0x6E020020: ("ext v0.16b, v1.16b, v2.16b, #0", "permute"),
    0x4E040420: ("dup v0.4s, v1.s[0]", "permute"),
    0x4E020020: ("tbl v0.16b, {v1.16b}, v2.16b", "table"),
    0x4E040C20: ("dup v0.4s, w1", "transfer"),
    0x0E043C20: ("umov w0, v1.s[0]", "transfer"),
    0x1E260000: ("fmov w0, s0", "transfer"),
    0x04200020: ("add z0.b, z1.b, z0.b", "sve"),
}


@pytest.mark.parametrize("word", WORDS, ids=[text for text, _ in WORDS.values()])
def test_a_known_word_falls_into_its_class(word: int) -> None:
    assert instruction_class(word) == WORDS[word][1]


@given(st.integers(0, 2**32 - 1))
def test_every_word_falls_into_some_class(word: int) -> None:
    assert instruction_class(word) in CLASS_UNIT

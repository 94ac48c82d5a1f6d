"""The real llvm-mca on blocks whose cycles the cores' optimization guides give."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from armopt.catalog.devices import find_core
from armopt.catalog.search_path import list_data
from armopt.core.errors import DeviceError
from armopt.latency import llvm_mca
from armopt.latency.llvm_mca import LlvmMca, find_llvm_mca

NOP, RET, BL, SVC, B_NE, UNKNOWN, UDF = 0xD503201F, 0xD65F03C0, 0x94000001, 0xD4000001, 0x54FFFFC1, 0xFFFFFFFF, 0
LDADDAL, SVE_WHILELO = 0xB8E00041, 0x25A10C00


def fmla(destination: int) -> int:
    """fmla vD.4s, v16.4s, v17.4s."""
    return 0x4E31CE00 | destination


def block(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


@pytest.fixture(scope="module")
def mca() -> LlvmMca:
    found = find_llvm_mca()
    assert found is not None, "llvm-mca 19 is missing: make setup"
    return found


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_chain_of_multiply_adds_takes_a_latency_each(mca: LlvmMca) -> None:
    # Into one accumulator a Cortex-A72 starts one every 4 cycles (LLVM), where its guide says 3
    (cycles,) = mca.block_cycles([block(*[fmla(0)] * 4)], "cortex-a72")
    assert cycles == pytest.approx(16, abs=4)


def test_independent_multiply_adds_take_their_throughput(mca: LlvmMca) -> None:
    tile = block(*map(fmla, range(8)))
    # one a cycle on a Cortex-A72, two on a Neoverse N1
    assert mca.block_cycles([tile], "cortex-a72")[0] == pytest.approx(8, abs=0.1)
    assert mca.block_cycles([tile], "neoverse-n1")[0] == pytest.approx(4, abs=0.1)


def test_llvm_knows_the_scheduler_of_every_shipped_core(mca: LlvmMca) -> None:
    tile = block(*map(fmla, range(8)))
    for core in map(find_core, list_data("devices/cores")):
        if core.scheduler:
            # 8 independent multiply-adds: what was measured, within the latency that bounds a wider core
            (cycles,) = mca.block_cycles([tile], core.scheduler)
            assert cycles == pytest.approx(8 * core.cycles["fp_mac"], rel=0.4)


def test_filling_the_pipeline_is_not_counted(mca: LlvmMca) -> None:
    (one,) = mca.block_cycles([block(fmla(0))], "cortex-a72")
    (twelve,) = mca.block_cycles([block(*[fmla(0)] * 12)], "cortex-a72")
    assert twelve == pytest.approx(12 * one, rel=0.01)


def test_what_llvm_misjudges_costs_an_issue_slot_and_no_latency(mca: LlvmMca) -> None:
    tile = [fmla(register) for register in range(8)]
    plain = mca.block_cycles([block(*tile)], "cortex-a72")
    for word in (NOP, RET, BL, SVC, UNKNOWN, UDF):
        assert mca.block_cycles([block(*tile, word)], "cortex-a72") == pytest.approx(plain, abs=1)


def test_words_without_meaning_do_not_shift_the_words_after_them(mca: LlvmMca) -> None:
    chain, tile = [fmla(0)] * 4, [fmla(register) for register in range(4)]
    mixed = mca.block_cycles([block(UNKNOWN, *chain), block(*tile, UNKNOWN), block(*chain)], "cortex-a72")
    assert mixed[0] == pytest.approx(mixed[2], abs=0.1)
    assert mixed[1] == pytest.approx(4, abs=0.5)


def test_a_block_that_a_model_does_not_know_is_nan_and_spoils_no_other(mca: LlvmMca) -> None:
    cycles = mca.block_cycles([block(fmla(0), LDADDAL), block(fmla(0)), block(SVE_WHILELO)], "cortex-a72")
    assert np.isnan(cycles).tolist() == [True, False, True]
    assert np.isnan(mca.block_cycles([block(SVE_WHILELO)], "cortex-a72")).all()
    assert not np.isnan(mca.block_cycles([block(SVE_WHILELO)], "neoverse-v1")).any()


def test_predicated_instructions_are_read_whole(mca: LlvmMca) -> None:
    ld1w = 0xA540A000  # ld1w { z0.s }, p0/z, [x0]
    assert not np.isnan(mca.block_cycles([block(ld1w)], "neoverse-v1")).any()


def test_a_load_does_not_hold_up_the_pointer_that_it_moves(mca: LlvmMca) -> None:
    ldr_q_post, ldr_d_post, ldr_x_post = 0x3CC10420, 0xFC408420, 0xF8408420
    for word in (ldr_q_post, ldr_d_post, ldr_x_post):
        # four loads through one pointer, at one load a cycle
        assert mca.block_cycles([block(*[word] * 4)], "cortex-a72")[0] == pytest.approx(4, abs=0.1)


def test_a_block_costs_the_same_alone_and_among_others(mca: LlvmMca) -> None:
    blocks = [block(*map(fmla, range(n)), B_NE) for n in range(1, 17)]
    together = mca.block_cycles(blocks, "cortex-a72")
    alone = [mca.block_cycles([one], "cortex-a72")[0] for one in blocks[::5]]
    assert together[::5].tolist() == alone


def test_a_long_block_is_cut_and_costs_the_sum(mca: LlvmMca) -> None:
    tile = list(map(fmla, range(16)))
    (cycles,) = mca.block_cycles([block(*tile * 100)], "cortex-a72")
    assert cycles == pytest.approx(1600, rel=0.01)


def test_no_blocks_need_no_program() -> None:
    assert LlvmMca("none", "none", "19").block_cycles([], "cortex-a72").shape == (0,)


def test_a_core_that_llvm_does_not_know_is_one_line_that_says_where(mca: LlvmMca) -> None:
    with pytest.raises(DeviceError, match=r"no core 'cortex-a999'; correct 'scheduler'"):
        mca.block_cycles([block(NOP)], "cortex-a999")


def test_missing_programs_are_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_llvm_mca() is None


@pytest.mark.parametrize(("version", "taken"), [("14.0.6", None), ("19.1.7", "19.1.7"), ("20", "20"), ("x", None)])
def test_names_without_a_number_are_taken_from_version_19_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, taken: str | None
) -> None:
    for name in ("llvm-mc", "llvm-mca"):
        program(tmp_path / name, f"echo Debian LLVM version {version}")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_llvm_mca()
    assert (found and found.version) == taken


@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo broken >&2; exit 3", "failed: broken"), ("echo '{}'", "something else"), ("exit 1", "failed: exit 1")],
)
def test_a_program_that_fails_is_one_line(mca: LlvmMca, tmp_path: Path, script: str, expected: str) -> None:
    program(tmp_path / "llvm-mca", script)
    with pytest.raises(DeviceError, match=expected) as caught:
        LlvmMca(mca.disassembler, str(tmp_path / "llvm-mca"), "19").block_cycles([block(NOP)], "cortex-a72")
    assert "\n" not in str(caught.value)


def test_a_program_that_hangs_is_stopped(mca: LlvmMca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "llvm-mca", "exec sleep 60")
    monkeypatch.setattr(llvm_mca, "TIMEOUT_S", 0.2)
    with pytest.raises(DeviceError, match="did not run"):
        LlvmMca(mca.disassembler, str(tmp_path / "llvm-mca"), "19").block_cycles([block(NOP)], "cortex-a72")

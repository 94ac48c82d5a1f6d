from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from armopt.core.decode import count_classes, instruction_class
from armopt.core.instructions import CLASS_INDEX, CLASSES

FMLA, LDR_Q, SUBS, B_NE = 0x4E22CC20, 0x3DC00020, 0xF1000400, 0x54FFFFC1


def block(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def test_a_block_is_counted_by_class() -> None:
    (row,) = count_classes([block(FMLA, FMLA, LDR_Q, SUBS, B_NE)])
    counted = {name: int(number) for name, number in zip(CLASSES, row, strict=True) if number}
    assert counted == {"fp_mac": 2, "load_vector_128": 1, "integer": 1, "branch": 1}


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_every_word_counts_in_exactly_one_class(words: list[int]) -> None:
    (row,) = count_classes([block(*words)])
    assert row.sum() == len(words)
    assert all(row[CLASS_INDEX[instruction_class(word)]] for word in words)


def test_no_blocks_give_an_empty_matrix() -> None:
    assert count_classes([]).shape == (0, len(CLASSES))
    assert count_classes([b""]).dtype == np.int64

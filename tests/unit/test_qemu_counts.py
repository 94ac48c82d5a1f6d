from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from armopt.core.errors import DeviceError
from armopt.runners.qemu.counts import read_counts

FMLA, LDR_Q, RET = 0x4E22CC20, 0x3DC00020, 0xD65F03C0
Blocks = Mapping[int, Sequence[int]]  # address -> instruction words


def dump(path: Path, blocks: Blocks, *segments: Mapping[int, int], levels: int = 2) -> Path:
    """A file as plugin.c writes it; each segment maps addresses to executions."""
    data = struct.pack("<4Q", int.from_bytes(b"ARMCNT2", "little"), levels, len(blocks), len(segments))
    for address, words in blocks.items():
        padded = [*words, *[0] * (len(words) % 2)]
        data += struct.pack(f"<2Q{len(padded)}I", address, len(words), *padded)
    index_of = {address: index for index, address in enumerate(blocks)}
    for number, segment in enumerate(segments):
        data += struct.pack("<3Q", 4096 * number, 640, 64) + struct.pack("<4Q", 7, 1, 5, 2)[: 16 * levels]
        data += struct.pack("<Q", len(segment))
        for address, executions in segment.items():
            data += struct.pack("<2Q", index_of[address], executions)
    path.write_bytes(data)
    return path


def test_executions_times_instructions_are_counted_by_class(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (LDR_Q, FMLA, FMLA, RET), 99: (RET,)}, {0: 10, 99: 1}))
    assert counts.instructions == 41
    assert counts.by_class() == {"fp_mac": 20, "branch": 11, "load_vector_128": 10}


def test_segments_are_kept_apart_and_add_up(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (FMLA, RET), 64: (RET,)}, {0: 3}, {0: 4, 64: 2}))
    assert counts.starts == ("", "runtime")
    assert counts.segment_instructions.tolist() == [6, 10]
    assert counts.by_class(0) == {"fp_mac": 3, "branch": 3}
    assert counts.block_executions.sum() == 9


def test_blocks_of_equal_words_are_merged(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (FMLA, RET), 64: (FMLA, RET)}, {0: 10, 64: 5}))
    assert counts.executions.tolist() == [[15]]


def test_straight_line_code_that_was_split_is_joined(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (LDR_Q, FMLA), 8: (FMLA,), 12: (RET,)}, {0: 10, 8: 10, 12: 10}))
    assert [block for block, times in zip(counts.blocks, counts.block_executions, strict=True) if times] == [
        struct.pack("<4I", LDR_Q, FMLA, FMLA, RET)
    ]
    assert counts.instructions == 40


def test_a_tail_that_is_also_jumped_to_keeps_what_is_its_own(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (LDR_Q,), 4: (FMLA, RET)}, {0: 10, 4: 25}))
    times = dict(zip(counts.blocks, counts.block_executions.tolist(), strict=True))
    assert times == {struct.pack("<3I", LDR_Q, FMLA, RET): 10, struct.pack("<2I", FMLA, RET): 15}
    assert counts.instructions == 60


def test_a_block_that_ends_in_a_branch_is_not_joined(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (RET,), 4: (FMLA, RET)}, {0: 10, 4: 10}))
    assert len(counts.blocks) == 2


def test_traffic_is_told_by_level(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (RET,)}, {0: 1}, {0: 1}))
    assert counts.moved_bytes.sum(axis=0).tolist() == [1280, 128]
    assert counts.lines.tolist() == [[[7, 1], [5, 2]]] * 2
    assert counts.traffic(0).tolist() == [8, 8]
    assert counts.traffic(-1).tolist() == [7, 7]


def test_without_simulated_caches_there_is_no_traffic(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", {0: (RET,)}, {0: 1}, levels=0))
    assert counts.traffic(-1).tolist() == [0]


@pytest.mark.parametrize("content", [b"", b"nonsense" * 20])
def test_a_dump_that_was_not_finished_is_a_device_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(DeviceError, match="no instruction counts"):
        read_counts(tmp_path / "c")


@pytest.mark.parametrize("cut", [8, 16, 100])
def test_a_dump_that_was_cut_short_is_a_device_error(tmp_path: Path, cut: int) -> None:
    whole = dump(tmp_path / "c", {0: (FMLA, RET)}, {0: 1}, {0: 2})
    whole.write_bytes(whole.read_bytes()[:-cut])
    with pytest.raises(DeviceError, match="no instruction counts"):
        read_counts(whole)


def test_a_missing_dump_is_a_device_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no instruction counts"):
        read_counts(tmp_path / "c")

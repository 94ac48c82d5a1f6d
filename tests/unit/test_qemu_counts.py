from __future__ import annotations

import struct
from pathlib import Path

import pytest

from armopt.core.errors import DeviceError
from armopt.runners.qemu.counts import read_counts

FMLA, LDR_Q, RET = 0x4E22CC20, 0x3DC00020, 0xD65F03C0


def dump(path: Path, *blocks: tuple[int, tuple[int, ...]], levels: int = 2) -> Path:
    header = [int.from_bytes(b"ARMCNT1", "little"), 640, 64, levels, 7, 1, 5, 2]
    data = struct.pack("<12Q", *header, *[0] * (12 - len(header)))
    for address, (executions, words) in enumerate(blocks):
        data += struct.pack(f"<3Q{len(words)}I", address, executions, len(words), *words)
    path.write_bytes(data)
    return path


def test_executions_times_instructions_are_counted_by_class(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", (10, (LDR_Q, FMLA, FMLA)), (1, (RET,))))
    assert counts.instructions == 31
    assert counts.by_class() == {"fp_mac": 20, "load_vector_128": 10, "branch": 1}


def test_blocks_of_equal_content_are_merged(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", (10, (FMLA, LDR_Q)), (5, (LDR_Q, FMLA))))
    assert counts.executions.tolist() == [15]


def test_traffic_is_that_of_the_last_simulated_level(tmp_path: Path) -> None:
    counts = read_counts(dump(tmp_path / "c", (1, (RET,))))
    assert (counts.loaded_bytes, counts.stored_bytes) == (640, 64)
    assert (counts.l1_misses, counts.memory_reads, counts.memory_writes) == (7, 5, 2)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 20])
def test_a_dump_that_was_not_finished_is_a_device_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(DeviceError, match="no instruction counts"):
        read_counts(tmp_path / "c")


def test_a_missing_dump_is_a_device_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no instruction counts"):
        read_counts(tmp_path / "c")

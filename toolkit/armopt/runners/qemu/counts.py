"""Reads what plugin.c wrote -> Counts."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np

from armopt.core.counts import Counts
from armopt.core.decode import instruction_class
from armopt.core.errors import DeviceError
from armopt.core.instructions import CLASS_INDEX, CLASSES

_MAGIC = int.from_bytes(b"ARMCNT1", "little")
_HEADER = struct.Struct("<12Q")
_BLOCK = struct.Struct("<3Q")


def read_counts(path: Path) -> Counts:
    """The counts of the marked inference.

    QEMU splits straight-line code at page ends; each part is a block of its own here.

    Raises:
        DeviceError: no such file, or not one that plugin.c finished.
    """
    try:
        dump = path.read_bytes()
        magic, loaded, stored, levels, *caches = _HEADER.unpack_from(dump)
        if magic != _MAGIC:
            raise ValueError("wrong identifier")
        # Blocks with the same classes cost the same: one row for all of them.
        rows: Counter[tuple[tuple[str, int], ...]] = Counter()
        offset = _HEADER.size
        while offset < len(dump):
            _, executions, length = _BLOCK.unpack_from(dump, offset)
            words = struct.unpack_from(f"<{length}I", dump, offset + _BLOCK.size)
            rows[tuple(sorted(Counter(map(instruction_class, words)).items()))] += executions
            offset += _BLOCK.size + 4 * length
    except (OSError, struct.error, ValueError) as error:
        raise DeviceError(f"the emulator left no instruction counts ({error})", "see whether the run failed") from error
    classes = np.zeros((len(rows), len(CLASSES)), np.int64)
    for row, block in enumerate(rows):
        for name, number in block:
            classes[row, CLASS_INDEX[name]] = number
    misses, writebacks = caches[0 : 2 * levels : 2], caches[1 : 2 * levels : 2]
    return Counts(
        executions=np.fromiter(rows.values(), np.int64, len(rows)),
        classes=classes,
        loaded_bytes=loaded,
        stored_bytes=stored,
        l1_misses=misses[0] if levels > 0 else 0,
        memory_reads=misses[-1] if levels else 0,
        memory_writes=writebacks[-1] if levels else 0,
    )

"""Reads what plugin.c wrote -> Counts: names functions, joins what QEMU split, merges equal blocks."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armopt.core.counts import Counts, Start
from armopt.core.decode import ends_block
from armopt.core.errors import DeviceError
from armopt.runners.qemu.symbols import Symbols

_MAGIC = int.from_bytes(b"ARMCNT2", "little")
_HEADER = struct.Struct("<4Q")


@dataclass(frozen=True)
class Loaded:
    """A library in the emulated process: its symbols, where it lies, and which offset starts which kind of operator."""

    symbols: Symbols
    base: int
    delegate_start: int


@dataclass(frozen=True)
class _Dump:
    """The file as it is: one row a translation block."""

    addresses: NDArray[np.int64]
    words: list[bytes]
    starts: list[int]
    executions: NDArray[np.int64]
    moved_bytes: NDArray[np.int64]
    lines: NDArray[np.int64]


def read_counts(path: Path, library: Loaded | None = None) -> Counts:
    """The counts of one marked inference; without a library no block has a name.

    QEMU splits straight-line code at page ends and after 512 instructions: the parts are joined here.

    Raises:
        DeviceError: no such file, or not one that plugin.c finished.
    """
    try:
        dump = _parse(path.read_bytes())
    except (OSError, struct.error, ValueError) as error:
        raise DeviceError(f"the emulator left no instruction counts ({error})", "see whether the run failed") from error
    _join(dump)
    functions = [library.symbols.name_at(int(at) - library.base) if library else "" for at in dump.addresses]
    # Blocks with the same words in the same function cost the same: one column for all of them.
    column_of: dict[tuple[bytes, str], int] = {}
    executions = np.zeros((len(dump.starts), len(dump.words)), np.int64)
    for source, key in enumerate(zip(dump.words, functions, strict=True)):
        if dump.executions[:, source].any():
            executions[:, column_of.setdefault(key, len(column_of))] += dump.executions[:, source]
    return Counts(
        blocks=tuple(words for words, _ in column_of),
        functions=tuple(function for _, function in column_of),
        starts=tuple(_kind(start, library) for start in dump.starts),
        executions=executions[:, : len(column_of)],
        moved_bytes=dump.moved_bytes,
        lines=dump.lines,
    )


def _kind(start: int, library: Loaded | None) -> Start:
    if not start:
        return ""
    return "xnnpack" if library and start == library.delegate_start else "runtime"


def _parse(data: bytes) -> _Dump:
    magic, levels, block_count, segment_count = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("wrong identifier")
    if len(data) % 8:
        raise ValueError("cut short")
    numbers = np.frombuffer(data, "<i8")
    at = _HEADER.size // 8
    addresses, words = np.zeros(block_count, np.int64), list[bytes]()
    for block in range(block_count):
        addresses[block], length = numbers[at], int(numbers[at + 1])
        words.append(data[8 * (at + 2) : 8 * (at + 2) + 4 * length])
        at += 2 + (length + 1) // 2
    starts, executions = list[int](), np.zeros((segment_count, block_count), np.int64)
    moved, lines = np.zeros((segment_count, 2), np.int64), np.zeros((segment_count, levels, 2), np.int64)
    for segment in range(segment_count):
        starts.append(int(numbers[at]))
        moved[segment] = numbers[at + 1 : at + 3]
        lines[segment] = numbers[at + 3 : at + 3 + 2 * levels].reshape(levels, 2)
        at += 3 + 2 * levels
        pairs = numbers[at + 1 : at + 1 + 2 * int(numbers[at])].reshape(-1, 2)
        executions[segment, pairs[:, 0]] = pairs[:, 1]
        at += 1 + 2 * int(numbers[at])
    if at != len(numbers):
        raise ValueError("not as long as it says")
    return _Dump(addresses, words, starts, executions, moved, lines)


def _join(dump: _Dump) -> None:
    """Append to each block that falls through what always ran after it, in place."""
    at_address: dict[int, list[int]] = {}
    for index, address in enumerate(dump.addresses):
        at_address.setdefault(int(address), []).append(index)
    # From the last address to the first: a tail is whole before a head takes it.
    for head in np.argsort(-dump.addresses, kind="stable"):
        words = dump.words[head]
        if ends_block(int.from_bytes(words[-4:], "little")):
            continue
        for tail in at_address.get(int(dump.addresses[head]) + len(words), ()):
            # A tail that is also jumped to runs more often, and keeps what is its own.
            if np.all(dump.executions[:, tail] >= dump.executions[:, head]) and dump.executions[:, head].any():
                dump.executions[:, tail] -= dump.executions[:, head]
                dump.words[head] = words + dump.words[tail]
                break

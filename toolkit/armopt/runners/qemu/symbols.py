"""Function names of a 64-bit little-endian ELF library, read from its symbol table (System V gABI, 'Symbol Table')."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER = np.dtype(
    {"names": ["sections_at", "size", "count"], "formats": ["<u8", "<u2", "<u2"], "offsets": [40, 58, 60]}
)
_SECTION = np.dtype(
    {"names": ["type", "at", "size", "link"], "formats": ["<u4", "<u8", "<u8", "<u4"], "offsets": [4, 24, 32, 40],
     "itemsize": 64}
)  # fmt: skip
_SYMBOL = np.dtype(
    {"names": ["name", "info", "section", "value", "size"], "formats": ["<u4", "u1", "<u2", "<u8", "<u8"],
     "offsets": [0, 4, 6, 8, 16], "itemsize": 24}
)  # fmt: skip
_SYMTAB, _DYNSYM, _FUNCTION = 2, 11, 2


class Symbols:
    """The functions of one library by offset."""

    def __init__(self, library: Path) -> None:
        """Read the full symbol table, or the dynamic one where the library was stripped of it.

        Raises:
            ValueError: not an ELF library for a 64-bit little-endian machine.
        """
        data = np.memmap(library, np.uint8, "r")
        if bytes(data[:6]) != b"\x7fELF\x02\x01":
            raise ValueError(f"{library}: not a 64-bit little-endian ELF file")
        header = np.frombuffer(data, _HEADER, 1)[0]
        sections = np.frombuffer(data, _SECTION, int(header["count"]), int(header["sections_at"]))
        tables = [section for kind in (_SYMTAB, _DYNSYM) for section in sections if section["type"] == kind]
        table = tables[0] if tables else sections[0]
        found = np.frombuffer(data, _SYMBOL, int(table["size"]) // _SYMBOL.itemsize, int(table["at"]))
        found = found[(found["info"] & 15 == _FUNCTION) & (found["section"] != 0)]
        self._symbols: NDArray[np.void] = found[np.argsort(found["value"], kind="stable")]
        strings = sections[int(table["link"])]
        self._names = data[int(strings["at"]) : int(strings["at"]) + int(strings["size"])].tobytes()
        self._starts = self._symbols["value"].astype(np.int64)
        self._name = lru_cache(maxsize=None)(self._read_name)

    def name_at(self, offset: int) -> str:
        """The name of the function that holds `offset`, or ''."""
        index = int(np.searchsorted(self._starts, offset, side="right")) - 1
        if index < 0 or offset >= int(self._starts[index]) + max(4, int(self._symbols["size"][index])):
            return ""
        return self._name(index)

    def find(self, name: str) -> tuple[int, int] | None:
        """Offset and size in bytes of the function of that name (as the linker has it), or None."""
        # A linker may store a name as the tail of a longer one.
        for match in re.finditer(re.escape(name.encode()) + b"\0", self._names):
            for index in np.flatnonzero(self._symbols["name"] == match.start()):
                return int(self._starts[index]), int(self._symbols["size"][index])
        return None

    def _read_name(self, index: int) -> str:
        start = int(self._symbols["name"][index])
        return readable(self._names[start : self._names.index(b"\0", start)].decode("ascii", "replace"))


def readable(name: str) -> str:
    """A C++ name as its scopes, without arguments ('_ZN6tflite8Subgraph6InvokeEv' -> 'tflite::Subgraph::Invoke')."""
    match = re.match(r"_ZNK?(?=\d)|_Z(?=\d)", name)
    if not match:
        return name
    at, parts = match.end(), list[str]()
    while length := re.match(r"\d+", name[at:]):
        at += length.end() + int(length[0])
        parts.append(name[at - int(length[0]) : at])
        if match[0] == "_Z":
            break
    return "::".join("(anonymous)" if part.startswith("_GLOBAL__N") else part for part in parts)

"""Writes a cpio archive of the kind that Linux unpacks as its first file system.

Format: "newc" of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One file, folder, link or device, owned by root.

    Attributes:
        name: path below the root, without a leading slash.
        mode: kind and permissions, as `stat` has them.
        content: of a file, a path to read or the bytes; of a link, its target.
        device: major and minor number of a device.
    """

    name: str
    mode: int
    content: bytes | Path = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str) -> Entry:
    """A folder that everyone may read."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, content: bytes | Path, *, executable: bool = False) -> Entry:
    """A file that everyone may read."""
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), content)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def with_folders(entries: Iterable[Entry]) -> list[Entry]:
    """The entries by name, each after the folders that it lies in: the kernel makes none by itself."""
    by_name = {entry.name: entry for entry in entries}
    for name in list(by_name):
        for parent in PurePosixPath(name).parents:
            if parent.name:
                by_name.setdefault(str(parent), folder(str(parent)))
    return [by_name[name] for name in sorted(by_name)]


def write_newc(entries: Iterable[Entry], out: BinaryIO) -> None:
    """Write the archive of `entries`, in their order; equal entries make equal bytes."""
    for number, entry in enumerate(entries, start=1):
        _write(out, number, entry)
    _write(out, 0, Entry(_TRAILER, 0))


def _write(out: BinaryIO, inode: int, entry: Entry) -> None:
    content = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
    name = entry.name.encode() + b"\0"
    owner, group, links, modified, checksum = 0, 0, 1, 0, 0
    fields = (inode, entry.mode, owner, group, links, modified, len(content), 0, 0, *entry.device, len(name), checksum)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    out.write(_padded(header + name))
    out.write(_padded(content))


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)

from __future__ import annotations

import io
import stat
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from armopt.runners.virtual import cpio


def _read(data: bytes) -> list[tuple[str, int, tuple[int, int], bytes]]:
    """Name, mode, device and content of each entry, read as the format's description says."""
    found, at = [], 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        start = (at + 110 + name_size + 3) // 4 * 4
        at = (start + size + 3) // 4 * 4
        if name == b"TRAILER!!!\0":
            assert at == len(data)
            return found
        assert fields[2:4] == [0, 0]  # root's
        found.append((name[:-1].decode(), fields[1], (fields[9], fields[10]), data[start : start + size]))


def _written(entries: list[cpio.Entry]) -> bytes:
    out = io.BytesIO()
    cpio.write_newc(entries, out)
    return out.getvalue()


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=50), st.booleans()), max_size=10))
def test_what_is_written_is_what_is_read(files: list[tuple[str, bytes, bool]]) -> None:
    entries = [cpio.file(name, content, executable=executable) for name, content, executable in files]
    expected = [(name, stat.S_IFREG | (0o755 if flag else 0o644), (0, 0), content) for name, content, flag in files]
    assert _read(_written(entries)) == expected


def test_links_folders_devices_and_files_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"five!")
    console = cpio.Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    entries = [cpio.folder("dev"), console, cpio.link("sh", "bin/busybox"), cpio.file("f", tmp_path / "f")]
    assert _read(_written(entries)) == [
        ("dev", stat.S_IFDIR | 0o755, (0, 0), b""),
        ("dev/console", stat.S_IFCHR | 0o600, (5, 1), b""),
        ("sh", stat.S_IFLNK | 0o777, (0, 0), b"bin/busybox"),
        ("f", stat.S_IFREG | 0o644, (0, 0), b"five!"),
    ]


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=10))
def test_each_entry_comes_once_and_after_the_folders_it_lies_in(names: list[str]) -> None:
    ordered = [entry.name for entry in cpio.with_folders(cpio.file(name, b"") for name in names)]
    assert len(set(ordered)) == len(ordered) and set(names) <= set(ordered)
    for index, name in enumerate(ordered):
        parent = name.rpartition("/")[0]
        assert not parent or parent in ordered[:index]

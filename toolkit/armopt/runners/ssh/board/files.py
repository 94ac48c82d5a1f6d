"""Files on the board, kept under the checksum of their content: `have`, `put`, `unpack`.

A file is there whole or not at all, and is read again before it is believed to be there.
"""

from __future__ import annotations

import compileall
import hashlib
import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from board_common import checked, fail, private_folder, say, told_errors  # type: ignore[import-not-found]

CHUNK = 1 << 16
UNUSED_S = 30 * 86400


def sha256_of(path: Path) -> str:
    """Checksum of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def have(folder: Path, digests: list[str]) -> None:
    """Say which files are there; one that is damaged is removed."""
    found = []
    for digest in digests:
        path = folder / "files" / checked(digest)
        if not path.is_file():
            continue
        if sha256_of(path) == digest:
            os.utime(path)
            found.append(digest)
        else:
            path.unlink()
    say("have", found=found)


def put(folder: Path, stream: BinaryIO) -> None:
    """Store what comes: for each file a line of JSON, its bytes; an empty line ends it."""
    files = folder / "files"
    files.mkdir(exist_ok=True)
    for old in files.iterdir():  # the lock is the caller's: nobody else writes here
        if old.name.startswith(".part-") or time.time() - old.stat().st_mtime > UNUSED_S:
            old.unlink()
    while True:
        line = stream.readline(1000)
        if line == b"\n":
            break
        if not line.endswith(b"\n"):
            fail("cut", "the connection ended before the files did")
        header: dict[str, Any] = json.loads(line)
        store(files, checked(header["sha256"]), int(header["size"]), stream)
    say("stored")


def store(files: Path, digest: str, size: int, stream: BinaryIO) -> None:
    """Store one file of `size` bytes."""
    free = shutil.disk_usage(files).free
    if free < size + (1 << 20):
        fail("disk", f"{free} bytes are free, the file has {size}")
    part = files / (".part-" + digest)
    seen, left = hashlib.sha256(), size
    with part.open("wb") as file:
        while left:
            chunk = stream.read(min(left, CHUNK))
            if not chunk:
                part.unlink()
                fail("cut", "the connection ended before the file did")
            seen.update(chunk)
            left -= len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if seen.hexdigest() != digest:
        part.unlink()
        fail("damaged", "what arrived has another checksum than what was sent")
    part.replace(files / digest)
    say("progress", stored=digest, size=size)


def unpack(folder: Path, name: str, archives: list[str]) -> None:
    """Make the folder of packages `runtimes/NAME` out of wheels that are stored; say which of them are missing."""
    target = folder / "runtimes" / checked(name)
    if target.is_dir():
        say("unpacked", folder=str(target))
        return
    missing = [archive for archive in archives if not (folder / "files" / checked(archive)).is_file()]
    if missing:
        say("missing", files=missing)
        return
    building = folder / "runtimes" / ".part"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for archive in archives:
        say("progress", unpacking=archive)
        with zipfile.ZipFile(folder / "files" / checked(archive)) as wheel:
            wheel.extractall(building)
    say("progress", compiling=name)
    # Optional: a module for another version of Python may not compile, and is not imported either.
    compileall.compile_dir(str(building), quiet=2)
    os.sync()
    os.rename(building, target)
    for archive in archives:  # they have served
        (folder / "files" / archive).unlink()
    say("unpacked", folder=str(target))


def main() -> None:
    """COMMAND FOLDER ARGS..."""
    command, name, *rest = sys.argv[1:]
    with told_errors():
        folder = private_folder(name)
        if command == "have":
            have(folder, rest)
        elif command == "put":
            put(folder, sys.stdin.buffer)
        elif command == "unpack":
            unpack(folder, rest[0], rest[1:])


main()

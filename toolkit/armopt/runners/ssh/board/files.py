"""Files on the board, kept under the checksum of their content: `have`, `put`, `unpack`.

A file is there whole or not at all, and is read again before it is believed to be there. A script whose connection
broke may still be at work while the next one begins: they share no half-written file.
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

from board_common import (  # type: ignore[import-not-found]
    alone,
    checked,
    fail,
    private_folder,
    process_start,
    say,
    told_errors,
)

CHUNK = 1 << 16
UNUSED_S = 30 * 86400
SPOKEN_S = 5.0
PART = ".part-"


def sha256_of(path: Path) -> str:
    """Checksum of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def have(folder: Path, digests: list[str]) -> None:
    """Say which files are there; one that is damaged is removed, and others that were not used for long."""
    files = folder / "files"
    for old in files.glob("[!.]*"):  # here, not in `put`: what is removed is then told as missing
        if time.time() - old.stat().st_mtime > UNUSED_S:
            old.unlink()
    found = []
    for digest in digests:
        path = files / checked(digest)
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
    for part in files.glob(PART + "*"):
        if not process_start(int(part.name.rpartition("-")[2])):
            part.unlink()
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
    part = files / f"{PART}{digest}-{os.getpid()}"
    seen, left = hashlib.sha256(), size
    try:
        with part.open("xb") as file:
            while left:
                chunk = stream.read(min(left, CHUNK))
                if not chunk:
                    fail("cut", "the connection ended before the file did")
                seen.update(chunk)
                left -= len(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if seen.hexdigest() != digest:
            fail("damaged", "what arrived has another checksum than what was sent")
        part.replace(files / digest)
    finally:
        if part.exists():
            part.unlink()
    say("progress", stored=digest)


def unpack(folder: Path, name: str, archives: list[str]) -> None:
    """Make the folder of packages `runtimes/NAME` out of wheels that are stored; say which of them are missing."""
    runtimes, stored = folder / "runtimes", [folder / "files" / checked(archive) for archive in archives]
    target, building = runtimes / checked(name), runtimes / ".part"
    runtimes.mkdir(exist_ok=True)
    with alone(runtimes):
        if not target.is_dir():
            missing = [path.name for path in stored if not path.is_file()]
            if missing:
                say("missing", files=missing)
                return
            shutil.rmtree(building, ignore_errors=True)
            try:
                build(building, stored)
                os.rename(building, target)
            except BaseException:  # a disk that is full is not left full
                shutil.rmtree(building, ignore_errors=True)
                raise
        for path in stored:  # they have served
            path.unlink(missing_ok=True)
    say("unpacked", folder=str(target))


def build(building: Path, wheels: list[Path]) -> None:
    """Unpack wheels into a folder and compile what is in it, on the disk at the end."""
    building.mkdir()
    for path in wheels:
        say("progress", unpacking=path.name)
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(building)
    spoke = time.monotonic()
    for module in building.rglob("*.py"):
        # Optional: a module for another version of Python may not compile, and is not imported either.
        compileall.compile_file(str(module), quiet=2)
        if time.monotonic() - spoke > SPOKEN_S:
            spoke = time.monotonic()
            say("progress", compiling=building.name)
    os.sync()


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

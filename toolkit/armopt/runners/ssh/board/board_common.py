"""What the board's scripts share. Python 3.9, standard library; one JSON object a line on stdout.

The scripts lie in no package: they are sent over the connection as text (`runners/ssh/board_scripts.py`) and leave
nothing behind but the folder that they were told to keep.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import IO, Any, Iterator  # noqa: UP035 - Python 3.9's own

NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")


def say(event: str, **values: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def fail(kind: str, text: str) -> None:
    """Say what went wrong, and leave."""
    say("error", kind=kind, text=text[:500])
    sys.exit(3)


def checked(name: str) -> str:
    """A name that can be nothing but an entry of a folder."""
    if not NAME.fullmatch(name):
        fail("usage", f"not a name: {name[:80]!r}")
    return name


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """A full disk and other refusals of the system become one `error` event."""
    try:
        yield
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        fail("disk" if is_full(error) else "os", f"{error.strerror or error}{place}")


def is_full(error: OSError) -> bool:
    """Whether it says that there is no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[IO[str]]:
    """Nobody else works in the folder meanwhile: a script whose connection broke may still do.

    The kernel ends this with the last process that has the file open.
    """
    with (folder / ".guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield guard


def private_folder(name: str) -> Path:
    """The folder of that name below the login's home (or at that path), for nobody else to read or write."""
    path = Path.home() / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        fail("os", f"{path} is not a folder of this login's own")
    if stat.S_IMODE(seen.st_mode) != 0o700:
        path.chmod(0o700)
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file at once or not at all, also when the board loses power."""
    part = path.with_name(f".part-{path.name}-{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        if part.exists():
            part.unlink()


def read_text(path: Path) -> str:
    """The file's text; '' where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def boot_id() -> str:
    """Another one after each start of the system."""
    return read_text(Path("/proc/sys/kernel/random/boot_id"))


def process_start(pid: int) -> str:
    """When a process was started, in ticks since boot: with its number it names the process; '' where it is gone."""
    told = read_text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    # A zombie has ended, whoever still has to collect it.
    return "" if len(told) < 20 or told[0] in ("Z", "X") else told[19]

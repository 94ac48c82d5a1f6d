"""A name for who holds a board's lock, by which other processes of this machine can tell whether its process lives."""

from __future__ import annotations

import contextlib
import re
import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from armopt.catalog.search_path import cache_dir


class Holder:
    """Held from `hold` to `drop`, or to the end of this process, however it ends: the system's file lock tells.

    Attributes:
        token: its name, 32 hexadecimal digits.
    """

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self._mark = _mark(self.token)

    def hold(self) -> None:
        """Show that the process lives. Where the cache can't be written, others just can't tell."""
        with contextlib.suppress(OSError):
            _path(self.token).parent.mkdir(parents=True, exist_ok=True)
            if not self._mark.is_locked:
                self._mark.acquire()

    def drop(self, *, for_good: bool) -> None:
        """Hold it no longer; `for_good`: no board has it any more."""
        with contextlib.suppress(OSError):
            self._mark.release()
            if for_good:
                _path(self.token).unlink(missing_ok=True)


def was_left(text: str) -> bool:
    """Whether that is the token of a process of this machine and user that is gone."""
    if not re.fullmatch("[0-9a-f]{32}", text) or not _path(text).exists():
        return False
    try:
        with _mark(text):
            _path(text).unlink(missing_ok=True)
    except (Timeout, OSError):
        return False
    return True


def _path(text: str) -> Path:
    return cache_dir() / "board-runs" / f"{text}.holder"


def _mark(text: str) -> FileLock:
    return FileLock(_path(text), timeout=0, thread_local=False)

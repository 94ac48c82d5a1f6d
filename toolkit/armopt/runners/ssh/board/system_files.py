"""Reads what the kernel tells in files. Sent to the board with the scripts that import it; Python 3.6 and later."""

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_CPUS = 1024
ROOT = ""  # where /proc, /sys and /etc lie; a test lays a board's files somewhere else


def read(path: str, limit: int = 1 << 16) -> str:
    """A file's first bytes as text, '' where they can't be had."""
    try:
        with Path(ROOT + path).open("rb") as file:
            return file.read(limit).decode("utf-8", "replace").strip("\x00\n\t ")
    except OSError:
        return ""


def name(path: str, limit: int = 32) -> "str | None":
    """A file's text cut to `limit` characters, None where there is none."""
    return read(path)[:limit] or None


def number(path: str, scale: float = 1.0) -> "float | None":
    """The number that a file holds, divided by `scale`."""
    try:
        return int(read(path)) / scale
    except ValueError:
        return None


def paths(pattern: str) -> "list[str]":
    """What matches, sorted, as `read` takes it."""
    return sorted(found[len(ROOT) :] for found in glob.glob(ROOT + pattern))[:MOST_CPUS]  # noqa: PTH207 - absolute


def guarded(ask: "Callable[..., Any]", *values: "Any") -> "Any":
    """What `ask` says, None where this system makes it fail: the other facts are still wanted."""
    try:
        return ask(*values)
    except Exception:
        return None

"""The one function that makes a command line for a board's shell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from armopt.core.errors import UsageError


def quoted(argv: Sequence[str]) -> str:
    r"""`argv` as one command line, each argument quoted so that a shell takes it as it is.

    Unlike `shlex.quote` it suits zsh and fish as login shells, too: every argument is quoted (zsh expands a bare
    `=ls`), and a backslash never stands inside quotes (fish reads one there).

    Raises:
        UsageError: an argument holds a NUL, which no command line can.
        ValueError: there is no argument.
    """
    if not argv:
        raise ValueError("no command")
    return " ".join(map(_quoted, argv))


def _quoted(argument: str) -> str:
    if "\0" in argument:
        raise UsageError(f"{argument[:80]!r} can't be passed to a board: it holds a NUL character", "rename it")
    parts = re.split(r"(['\\])", argument)
    return "".join(f"\\{part}" if part in ("'", "\\") else f"'{part}'" for part in parts if part) or "''"

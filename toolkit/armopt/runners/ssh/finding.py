"""What a doctor says: one thing that is wrong, and how to mend it."""

from __future__ import annotations

from typing import Literal

from armopt.core.record import Record


class Finding(Record):
    """A problem keeps models from running or makes figures wrong for certain; a warning may do so."""

    severity: Literal["problem", "warning"]
    what: str
    mend: str


def problem(what: str, mend: str) -> Finding:
    """A finding that has to be mended."""
    return Finding(severity="problem", what=what, mend=mend)


def warning(what: str, mend: str) -> Finding:
    """A finding that may be lived with."""
    return Finding(severity="warning", what=what, mend=mend)

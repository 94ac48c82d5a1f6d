"""Which criteria a technique can help on a kind of board, and why it can't help the others. Pure."""

from __future__ import annotations

from typing import Literal, get_args

from armopt.core.device import BoardKind
from armopt.core.errors import UsageError

Criterion = Literal["latency", "size", "accuracy", "instructions"]
CRITERIA: frozenset[Criterion] = frozenset(get_args(Criterion))

_SMALLER: frozenset[Criterion] = frozenset({"size"})
_RECOVERS: frozenset[Criterion] = frozenset({"accuracy"})
_SAME_FILE = "its file has the size and the instructions of plain quantization; it can only win back accuracy"

_CORTEX_A: dict[str, tuple[frozenset[Criterion], str]] = {
    "prune": (_SMALLER, "zeros do not speed up dense INT8 kernels; they shrink the compressed file"),
    "cluster": (_SMALLER, "a CPU computes with every weight whatever its value; few values shrink the compressed file"),
    "ptq": (frozenset(), "INT8 itself is what speeds up and shrinks, and every leaf has it"),
    "qat": (_RECOVERS, _SAME_FILE),
    "pqat": (_RECOVERS, _SAME_FILE),
    "cqat": (_RECOVERS, _SAME_FILE),
    "pcqat": (_RECOVERS, _SAME_FILE),
}


def helps(kind: BoardKind, stage_name: str) -> frozenset[Criterion]:
    """The criteria in which `stage_name` can improve a leaf on `kind` beyond plain INT8 quantization.

    Raises:
        UsageError: nothing is known of that stage.
    """
    return _entry(kind, stage_name)[0]


def why_not(kind: BoardKind, stage_name: str) -> str:
    """One sentence, without a full stop, on what the stage can't help on `kind` and what it does instead."""
    return _entry(kind, stage_name)[1]


def _entry(kind: BoardKind, stage_name: str) -> tuple[frozenset[Criterion], str]:
    known = _CORTEX_A  # the one family so far; Ethos-U, where zeros do save time, will have its own table
    if stage_name not in known:
        raise UsageError(f"nothing is known of what stage {stage_name!r} helps", "known: " + ", ".join(known))
    return known[stage_name]

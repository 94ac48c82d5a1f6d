"""Which criteria a technique can help on a kind of board, and why it can't help the others. Pure."""

from __future__ import annotations

from typing import Literal, get_args

from armopt.core.device import BoardKind
from armopt.core.errors import UsageError

Criterion = Literal["latency", "size", "accuracy", "instructions"]
CRITERIA: frozenset[Criterion] = frozenset(get_args(Criterion))

_INT8: frozenset[Criterion] = frozenset({"latency", "size", "instructions"})
_SMALLER: frozenset[Criterion] = frozenset({"size"})

# "accuracy": the stage can win back accuracy that quantization cost its parent.
_CORTEX_A: dict[str, tuple[frozenset[Criterion], str]] = {
    "prune": (_SMALLER, "zeros do not speed up dense INT8 kernels; they shrink the compressed file"),
    "cluster": (_SMALLER, "a CPU computes with every weight whatever its value; few values shrink the compressed file"),
    "ptq": (_INT8, "rounding weights and activations to 8 bits can't raise accuracy; it shrinks and speeds up"),
    "qat": (CRITERIA, "it helps every criterion"),
    "pqat": (CRITERIA, "it helps every criterion; its zeros add to size only"),
    "cqat": (CRITERIA, "it helps every criterion; its few weight values add to size only"),
    "pcqat": (CRITERIA, "it helps every criterion; its zeros and few weight values add to size only"),
}


def helps(kind: BoardKind, stage_name: str) -> frozenset[Criterion]:
    """The criteria that `stage_name` can improve on `kind`, against the same model without the stage.

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

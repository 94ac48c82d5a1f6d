"""Which leaves are worth building, given what post-training quantization missed. Pure."""

from __future__ import annotations

from armopt.core.device import BoardKind
from armopt.latency.helps import helps, why_not

_SAME_FILE = "its file has the size and the instructions of plain quantization; it can only win back accuracy"


def gain_over_ptq(kind: BoardKind, path: str, trains: frozenset[str]) -> frozenset[str]:
    """Criteria in which the leaf at `path` can be better than `ptq` on this kind of board.

    Every stage that trains may win accuracy; what the quantizing stage itself brings, `ptq` brings too.
    """
    *inner, leaf = path.split("/")
    brought = set(helps(kind, "ptq"))
    gain: set[str] = {criterion for criterion in helps(kind, leaf) if criterion not in brought}
    for stage in inner:
        gain.update(helps(kind, stage))
    if any(stage in trains for stage in (*inner, leaf)):
        gain.add("accuracy")
    return frozenset(gain)


def why_hopeless(kind: BoardKind, path: str, missed: frozenset[str], trains: frozenset[str]) -> str | None:
    """Why the leaf can't meet a target of which `ptq` missed the criteria `missed`; None where it may."""
    beyond = missed - gain_over_ptq(kind, path, trains)
    if not beyond:
        return None
    inner = path.split("/")[:-1]
    reasons = list(dict.fromkeys(why_not(kind, stage) for stage in inner)) or [_SAME_FILE]
    return f"can't help {' and '.join(sorted(beyond))} on {kind.name}: {'; '.join(reasons)}"

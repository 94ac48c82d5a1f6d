"""Which leaves are worth building, given what post-training quantization missed. Pure."""

from __future__ import annotations

from armopt.core.device import Kind
from armopt.core.stages import FURTHER_LEAVES
from armopt.core.tree import STRUCTURE
from armopt.latency.helps import helps, why_not


def felt_stages(kind: Kind) -> frozenset[str]:
    """Stages that leave a model's shape as it is and yet make it faster there: an Ethos-U feels zeros and codes."""
    return frozenset(stage for stage in STRUCTURE if "latency" in helps(kind, stage))


def gain_over_ptq(kind: Kind, path: str, trains: frozenset[str]) -> frozenset[str]:
    """Criteria in which the leaf at `path` can be better than `ptq` on this kind of board.

    Every stage that trains may win accuracy, whatever else it is for.
    """
    stages = path.split("/")
    gain: set[str] = {criterion for stage in stages for criterion in helps(kind, stage)}
    if any(stage in trains for stage in stages):
        gain.add("accuracy")
    return frozenset(gain)


def why_hopeless(kind: Kind, path: str, missed: frozenset[str], trains: frozenset[str]) -> str | None:
    """Why the leaf can't meet a target of which `ptq` missed the criteria `missed`; None where it may."""
    beyond = missed - gain_over_ptq(kind, path, trains)
    if not beyond:
        return None
    *inner, leaf = path.split("/")
    # What a further leaf costs is news; what quantizing costs is said by the stages that it follows.
    told = [*inner, leaf] if leaf in FURTHER_LEAVES or not inner else inner
    reasons = dict.fromkeys(why_not(kind, stage) for stage in told)
    return f"can't help {' and '.join(sorted(beyond))} on {kind.name}: {'; '.join(reasons)}"

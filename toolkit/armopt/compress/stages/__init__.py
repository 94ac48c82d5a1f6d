"""The stages of the tree. A stage is a module that satisfies `Stage`, and one row here."""

from __future__ import annotations

from types import MappingProxyType

from armopt.compress.stages import cluster, prune, ptq, qat
from armopt.compress.stages.base import Context, Stage, Workpiece

# PQAT, CQAT and PCQAT are quantization-aware training under whatever the ancestors promised: one mechanism, and
# names that say which promises there are.
STAGES: MappingProxyType[str, Stage] = MappingProxyType(
    {"prune": prune, "cluster": cluster, "ptq": ptq, "qat": qat, "pqat": qat, "cqat": qat, "pcqat": qat}
)

# What a stage's name says about its ancestors.
PRESERVES: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {"pqat": frozenset({"prune"}), "cqat": frozenset({"cluster"}), "pcqat": frozenset({"prune", "cluster"})}
)

LEAF_STAGES = frozenset(name for name, stage in STAGES.items() if stage.LEAF)
TRAINING_STAGES = frozenset(name for name, stage in STAGES.items() if stage.TRAINS)

__all__ = ["LEAF_STAGES", "PRESERVES", "STAGES", "TRAINING_STAGES", "Context", "Stage", "Workpiece"]

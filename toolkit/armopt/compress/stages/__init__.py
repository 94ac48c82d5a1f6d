"""The stages of the tree. A stage is a module that satisfies `Stage`, one row here, and one of `core.stages.FACTS`."""

from __future__ import annotations

from types import MappingProxyType

from armopt.compress.stages import channels, cluster, dynamic, float16, int16, prune, ptq, qat, sparse
from armopt.compress.stages.base import Context, Stage, Workpiece

STAGES: MappingProxyType[str, Stage] = MappingProxyType(
    {
        "channels": channels,
        "prune": prune,
        "cluster": cluster,
        "ptq": ptq,
        "qat": qat,
        "pqat": qat,
        "cqat": qat,
        "pcqat": qat,
        "16x8": int16,
        "dynamic": dynamic,
        "float16": float16,
        "sparse": sparse,
    }
)

__all__ = ["STAGES", "Context", "Stage", "Workpiece"]

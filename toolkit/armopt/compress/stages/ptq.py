"""Post-training quantization: nothing to train, the converter calibrates activations on training samples."""

from __future__ import annotations

from armopt.compress.stages.base import Context, Workpiece
from armopt.core.profile import StageSettings

USES: frozenset[str] = frozenset()


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return "quantize after training"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """The model as it is."""
    return Workpiece(piece.model, piece.constraints)

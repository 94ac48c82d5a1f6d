"""float16 weights: half the size of the float model and nearly its accuracy."""

from __future__ import annotations

from armopt.compress.stages.base import Context, Workpiece
from armopt.core.profile import StageSettings

USES: frozenset[str] = frozenset()


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return "store the weights as float16"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """The model as it is; zeros stay, and clusters hold within each channel, which is said where more was promised."""
    shared = any(constraint.levels is not None for constraint in piece.constraints.values())
    words = "few values are proved in each channel, not in each tensor: shared codes take a scale per channel"
    return Workpiece(piece.model, piece.constraints, (words,) if shared else ())

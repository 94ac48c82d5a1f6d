"""float32 weights without their zeros, for kernels that skip zeros: fewer instructions where most weights are zero."""

from __future__ import annotations

import tempfile
from pathlib import Path

from armopt.compress.export import export_tflite
from armopt.compress.sparse_path import sparse_path
from armopt.compress.stages.base import Context, Workpiece
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings

USES: frozenset[str] = frozenset()


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return "leave the zeros out of float weights"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """The model as it is, if XNNPACK will run it sparse: otherwise the file is a float one, slower than INT8.

    Raises:
        ModelError: the model's shape or its number of zeros keeps XNNPACK from its sparse kernels; it says which.
        ConversionError: the converter refused it.
    """
    with tempfile.TemporaryDirectory(prefix="armopt-sparse-") as folder:
        path = Path(folder, "model.tflite")
        export_tflite(piece.model, context.data.train.sample(1), path, numbers="sparse")
        obstacles = sparse_path(path).obstacles
    if obstacles:
        raise ModelError(
            f"XNNPACK would run '{piece.model.name}' with dense kernels: {'; '.join(obstacles)}",
            "prune harder (--sparsity 0.8)" if "two thirds" in obstacles[0] else "leave 'sparse' out for this model",
        )
    shared = any(constraint.levels is not None for constraint in piece.constraints.values())
    words = "few values are proved in each channel, not in each tensor: shared codes take a scale per channel"
    return Workpiece(piece.model, piece.constraints, (words,) if shared else ())

"""Structured channel pruning: a smaller dense model, which every kernel library runs faster; the root of its tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from armopt.compress.channels.kept import load_kept, save_kept
from armopt.compress.channels.slim import slim
from armopt.compress.channels.surgery import shrink
from armopt.compress.constraints import Constraints
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.stages.base import Context, Workpiece
from armopt.compress.training import TRAINING_SETTINGS, describe_training, fine_tune
from armopt.core.errors import UsageError
from armopt.core.profile import StageSettings

USES = frozenset(
    {"width", "widths", "width_step", "importance", "scope", "spare", "first_layer", "last_layer", *TRAINING_SETTINGS}
)

# What is kept of the channels, beside a node's weights.
FILE = "channels.npz"


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    over = " over all groups together" if settings.scope == "global" else ""
    return f"keep {settings.width:.0%} of the channels by {settings.importance}{over}, {describe_training(settings)}"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """Remove the least important channels, then fine-tune what is left.

    Raises:
        ModelError: no channel can be removed; says what holds them.
        UsageError: the model carries promises, which speak of its kernels as they are.
    """
    if piece.constraints:
        raise UsageError(
            "channels can't be pruned once weights are pruned or clustered", "make channels the first stage of the tree"
        )
    settings = context.settings
    made = slim(piece.model, settings, context.data, context.task)
    train, keeping = context.data.train, ConstraintsCallback(Constraints())
    fine_tune(made.model, train, context.task, settings, keeping, context.on_step, teacher=context.teacher)
    return Workpiece(made.model, Constraints(), made.report.notes(), made.kept)


def save(piece: Workpiece, folder: Path) -> None:
    """Write beside a node's weights what `rebuild` needs; nothing for a piece with all its channels."""
    if piece.kept is not None:
        save_kept(folder / FILE, piece.kept)


def rebuild(model: Any, folder: Path) -> Any:
    """The stage's model again, from the one it was made of and what `save` wrote; weights as before the training.

    Raises:
        ModelError: nothing was saved there, or for another model.
    """
    return shrink(model, load_kept(folder / FILE))

"""Magnitude pruning: the smallest weights of each kernel become zero on a schedule while the rest trains on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints
from armopt.compress.kernels import Kernel, is_spared, kernels_of
from armopt.compress.models import copy_model, fixed_batch
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.stages.base import Context, Workpiece
from armopt.compress.training import TRAINING_SETTINGS, describe_training, epochs_of, fine_tune, steps_per_epoch
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings

TRAINS = True
LEAF = False
USES = frozenset({"sparsity", "schedule", "depthwise", "spare", *TRAINING_SETTINGS})

# The ramp ends at this share of the steps; the rest is for recovery at the final sparsity (Zhu & Gupta 2017, section 3,
# recommend to keep training after the last pruning step).
_RAMP_SHARE = 0.5
# Masks are renewed this many times along the ramp: each renewal sorts every kernel once.
_RENEWALS = 20


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return f"prune to {settings.sparsity:.0%} zeros, {describe_training(settings)}"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """Prune every kernel to the settings' sparsity, each by its own threshold; clusters of an ancestor are not allowed.

    Raises:
        ModelError: the model has no kernel to prune.
    """
    settings = context.settings
    model = copy_model(piece.model)
    targets = prunable(model, settings)
    if not targets:
        raise ModelError(
            f"model '{model.name}' has no kernel to prune", "spare fewer layers, or leave prune out of the tree"
        )
    # Masks start full and open up on schedule; the callback's mask variables carry them into the compiled step.
    start = {kernel.key: np.ones(tuple(kernel.variable.shape), bool) for kernel in targets}
    keeping = ConstraintsCallback(piece.constraints.with_zeros(start))
    batch = fixed_batch(model) or min(settings.batch_size, len(context.data.train))
    samples = len(context.data.train)
    steps = steps_per_epoch(samples, batch) * epochs_of(settings, samples, batch)
    schedule = _Schedule(targets, settings, steps, keeping)
    fine_tune(model, context.data.train, context.task, settings, keeping, context.on_step, (schedule,))
    if steps == 0:
        schedule.renew(settings.sparsity)
    kept = {kernel.key: np.asarray(schedule.keep[kernel.key]) for kernel in targets}
    for kernel in targets:
        kernel.variable.assign(np.where(kept[kernel.key], kernel.variable.numpy(), 0))
    return Workpiece(model, Constraints(piece.constraints).with_zeros(kept))


def prunable(model: Any, settings: StageSettings) -> list[Kernel]:
    """Kernels that the settings let a stage change: depthwise ones only when asked, spared layers never."""
    return [
        kernel
        for kernel in kernels_of(model)
        if (settings.depthwise or kernel.kind != "depthwise") and not is_spared(kernel, settings.spare)
    ]


def smallest_masked(kernel: npt.NDArray[np.floating[Any]], sparsity: float) -> npt.NDArray[np.bool_]:
    """Mask of `kernel`'s shape, False for exactly round(sparsity * size) weights of least magnitude."""
    count = round(sparsity * kernel.size)
    keep = np.ones(kernel.size, bool)
    if count:
        keep[np.argpartition(np.abs(kernel).ravel(), count - 1)[:count]] = False
    return keep.reshape(kernel.shape)


def sparsity_at(step: int, steps: int, final: float, schedule: str) -> float:
    """Sparsity after `step` of a ramp of `steps`: the cubic of Zhu & Gupta 2017, equation 1, or final at once."""
    if schedule == "constant" or step >= steps:
        return final
    return final * (1 - (1 - step / steps) ** 3)


class _Schedule(keras.callbacks.Callback):
    def __init__(
        self, targets: list[Kernel], settings: StageSettings, steps: int, keeping: ConstraintsCallback
    ) -> None:
        super().__init__()
        self._targets, self._settings, self._keeping = targets, settings, keeping
        self._ramp = max(1, round(steps * _RAMP_SHARE))
        self._every = max(1, self._ramp // _RENEWALS)
        self._step = 0
        self.keep: dict[str, npt.NDArray[np.bool_]] = {}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._step <= self._ramp and (self._step % self._every == 0 or self._step == self._ramp):
            self.renew(sparsity_at(self._step, self._ramp, self._settings.sparsity, self._settings.schedule))
        self._step += 1

    def on_train_end(self, logs: Any = None) -> None:
        # A run of fewer steps than the ramp needs still ends at the sparsity that was asked for.
        self.renew(self._settings.sparsity)

    def renew(self, sparsity: float) -> None:
        for kernel in self._targets:
            keep = smallest_masked(kernel.variable.numpy(), sparsity)
            self.keep[kernel.key] = keep
            if kernel.key in self._keeping.projections:
                self._keeping.projections[kernel.key].assign_mask(keep)

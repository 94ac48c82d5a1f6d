"""Magnitude pruning: the smallest weights of each kernel become zero on a schedule while the rest trains on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints
from armopt.compress.kernels import Kernel
from armopt.compress.models import copy_model, fixed_batch
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.stages.base import Context, Workpiece
from armopt.compress.stages.patterns import masks
from armopt.compress.stages.selection import SELECTION_SETTINGS, prunable, strength_of
from armopt.compress.training import TRAINING_SETTINGS, describe_training, epochs_of, fine_tune, steps_per_epoch
from armopt.core.errors import ModelError
from armopt.core.pattern import NofM
from armopt.core.profile import StageSettings

USES = frozenset(
    {"sparsity", "layer_sparsity", "schedule", "scope", "pattern", *SELECTION_SETTINGS, *TRAINING_SETTINGS}
)

# The ramp ends at this share of the steps; the rest is for recovery at the final sparsity (Zhu & Gupta 2017, section 3,
# recommend to keep training after the last pruning step).
_RAMP_SHARE = 0.5
# Masks are renewed this many times along the ramp: each renewal sorts every kernel once.
_RENEWALS = 20


def describe(settings: StageSettings) -> str:
    """The work in a few words. N:M says what it makes of the sparsity that the settings ask for."""
    over = " over all kernels together" if _is_global(settings) else ""
    apart = f" ({len(settings.layer_sparsity)} layers otherwise)" if settings.layer_sparsity else ""
    return f"prune to {settings.pruning.words(settings.sparsity)}{over}{apart}, {describe_training(settings)}"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """Prune the kernels to the settings' sparsity and pattern; clusters of an ancestor are not allowed.

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
    # Masks start full and close on schedule; the callback's mask variables carry them into the compiled step.
    start = {kernel.key: np.ones(tuple(kernel.variable.shape), bool) for kernel in targets}
    promised = piece.constraints.with_zeros(start)
    keeping = ConstraintsCallback(promised)
    batch = fixed_batch(model) or min(settings.batch_size, len(context.data.train))
    samples = len(context.data.train)
    steps = steps_per_epoch(samples, batch) * epochs_of(settings, samples, batch)
    schedule = _Schedule(targets, settings, steps, keeping, promised)
    fine_tune(model, context.data.train, context.task, settings, keeping, context.on_step, (schedule,), context.teacher)
    if steps == 0:
        schedule.renew(1.0)
    for kernel in targets:
        kernel.variable.assign(np.where(schedule.keep[kernel.key], kernel.variable.numpy(), 0))
    notes = (_spread(schedule.keep),) if _is_global(settings) else ()
    return Workpiece(model, piece.constraints.with_zeros(schedule.keep), notes)


def sparsity_at(step: int, steps: int, final: float, schedule: str) -> float:
    """Sparsity after `step` of a ramp of `steps`: the cubic of Zhu & Gupta 2017, equation 1, or final at once."""
    if schedule == "constant" or step >= steps:
        return final
    return final * (1 - (1 - step / steps) ** 3)


def _is_global(settings: StageSettings) -> bool:
    return settings.scope == "global" and not isinstance(settings.pruning, NofM)


def _spread(keep: Mapping[str, npt.NDArray[np.bool_]]) -> str:
    """What one threshold did to the kernels: those of small weights lose most."""
    zeros = {key: float(np.mean(~mask)) for key, mask in keep.items()}
    least, most = min(zeros, key=lambda key: zeros[key]), max(zeros, key=lambda key: zeros[key])
    return f"one threshold for all: from {zeros[least]:.0%} zeros in '{least}' to {zeros[most]:.0%} in '{most}'"


class _Schedule(keras.callbacks.Callback):
    def __init__(
        self,
        targets: list[Kernel],
        settings: StageSettings,
        steps: int,
        keeping: ConstraintsCallback,
        promised: Constraints,
    ) -> None:
        super().__init__()
        self._settings, self._keeping = settings, keeping
        self._pattern = settings.pruning
        # N:M is fulfilled by zeroing all weights that it rules out; the others have as many units as asked for.
        self._of_share: dict[float, list[Kernel]] = {}
        for kernel in targets:
            asked = strength_of(kernel, settings.layer_sparsity, settings.sparsity)
            self._of_share.setdefault(1.0 if isinstance(self._pattern, NofM) else asked, []).append(kernel)
        self._ramp = max(1, round(steps * _RAMP_SHARE))
        self._every = max(1, self._ramp // _RENEWALS)
        self._step = 0
        self.keep = {kernel.key: np.asarray(promised[kernel.key].keep) for kernel in targets}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._step <= self._ramp and (self._step % self._every == 0 or self._step == self._ramp):
            self.renew(sparsity_at(self._step, self._ramp, 1.0, self._settings.schedule))
        self._step += 1

    def on_train_end(self, logs: Any = None) -> None:
        # A run of fewer steps than the ramp needs still ends at the sparsity that was asked for.
        self.renew(1.0)

    def renew(self, progress: float) -> None:
        """Bring the masks to this share of the way; what is masked already stays so.

        One threshold for all means for all that are to become equally sparse.
        """
        for share, kernels in self._of_share.items():
            self._renew(kernels, progress * share)

    def _renew(self, kernels: list[Kernel], share: float) -> None:
        weights = {kernel.key: kernel.as_matrix(kernel.variable.numpy()) for kernel in kernels}
        kept = {kernel.key: kernel.as_matrix(self.keep[kernel.key]) for kernel in kernels}
        found = masks(weights, kept, self._pattern, share, self._settings.scope)
        for kernel in kernels:
            self.keep[kernel.key] = kernel.from_matrix(found[kernel.key])
            self._keeping.renew_zeros(kernel.key, self.keep[kernel.key])

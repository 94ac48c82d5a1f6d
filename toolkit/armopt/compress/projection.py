"""Keeps promises while a model trains: after every optimizer step, inside the compiled train step."""

from __future__ import annotations

from typing import Any

import numpy as np

from armopt.compress.backend import keras, tf
from armopt.compress.constraints import Constraints, KernelConstraint, is_kept, project
from armopt.compress.kernels import kernels_of
from armopt.core.errors import UsageError


class _KernelProjection:
    """The compiled projection of one kernel variable."""

    def __init__(self, variable: Any, constraint: KernelConstraint) -> None:
        self.variable = variable
        self.constraint = constraint
        self._mask: Any = None
        if constraint.codes is not None:
            codes = constraint.codes.ravel().astype(np.int32)
            self._codes = tf.constant(codes)
            self._groups = int(codes.max()) + 1
            # Dividing by the count makes sums means; a zero in place of 1/count pins the zeros' group to zero.
            share = 1.0 / np.maximum(np.bincount(codes, minlength=self._groups), 1)
            if constraint.zero_is_pinned:
                share[0] = 0.0
            self._share = tf.constant(share, variable.dtype.base_dtype)
        elif constraint.keep is not None:
            # A variable, not a constant: a pruning schedule changes it while the compiled step stays.
            self._mask = tf.Variable(constraint.keep, trainable=False, dtype=tf.bool)

    def assign_mask(self, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        self._mask.assign(keep)

    def apply(self) -> None:
        if self.constraint.codes is not None:
            flat = tf.reshape(self.variable, [-1])
            means = tf.math.unsorted_segment_sum(flat, self._codes, self._groups) * self._share
            self.variable.assign(tf.reshape(tf.gather(means, self._codes), self.variable.shape))
        elif self._mask is not None:
            self.variable.assign(tf.where(self._mask, self.variable, tf.zeros_like(self.variable)))


class ConstraintsCallback(keras.callbacks.Callback):
    """Keeps the recorded zeros and clusters of a model in your own `fit`.

    `model.fit(..., callbacks=[armopt.ConstraintsCallback(constraints)])`: every optimizer step is followed by the
    projection onto the constraints, inside the compiled train step; codebook values go on training.

    Args:
        constraints: the promises, by kernel key. Default: those that armopt recorded on the model.

    Raises:
        UsageError: a constraint names a kernel that the model does not have, or with another shape.
    """

    def __init__(self, constraints: Constraints | None = None) -> None:
        super().__init__()
        self._constraints = constraints
        self._original_step: Any = None
        self.projections: dict[str, _KernelProjection] = {}

    def set_model(self, model: Any) -> None:
        """Called by `fit` before it compiles its step: the place to put the projection into it."""
        super().set_model(model)
        if self._original_step is not None:
            return
        self.projections = {
            key: _KernelProjection(variable, constraint) for key, (variable, constraint) in self._bound(model).items()
        }
        # An interrupted fit leaves its wrapper behind; wrapping that again would project twice.
        self._original_step = original = getattr(model.train_step, "__wrapped__", model.train_step)

        def constrained_step(data: Any) -> Any:
            logs = original(data)
            for projection in self.projections.values():
                projection.apply()
            return logs

        constrained_step.__wrapped__ = original  # type: ignore[attr-defined]
        model.train_step = constrained_step
        model.train_function = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Start from weights that keep the promise, whatever the caller did to them before."""
        self.project_onto(self.model)

    def project_onto(self, model: Any) -> None:
        """Bring the model's kernels onto the constraints once, outside of training."""
        for variable, constraint in self._bound(model).values():
            kernel = variable.numpy()
            if not is_kept(kernel, constraint):
                variable.assign(project(kernel, constraint))

    def _bound(self, model: Any) -> dict[str, tuple[Any, KernelConstraint]]:
        constraints = self._constraints if self._constraints is not None else constraints_of(model)
        variables = {kernel.key: kernel.variable for kernel in kernels_of(model)}
        return {key: (_checked(variables, key, constraint), constraint) for key, constraint in constraints.items()}

    def on_train_end(self, logs: Any = None) -> None:
        """Give the model its own train step back."""
        self.model.train_step = self._original_step
        self.model.train_function = None
        self._original_step = None


def _checked(variables: dict[str, Any], key: str, constraint: KernelConstraint) -> Any:
    variable = variables.get(key)
    promised = constraint.keep if constraint.keep is not None else constraint.codes
    if variable is None or (promised is not None and tuple(variable.shape) != promised.shape):
        have = "no such kernel" if variable is None else f"shape {tuple(variable.shape)}"
        raise UsageError(
            f"the constraints speak of kernel '{key}', the model has {have}", "use the model they came with"
        )
    return variable


def constraints_of(model: Any) -> Constraints:
    """The constraints that armopt recorded on a model it returned; none for any other model."""
    recorded = getattr(model, "armopt_constraints", None)
    return recorded if isinstance(recorded, Constraints) else Constraints()

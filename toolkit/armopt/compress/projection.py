"""Keeps promises while a model trains: after every optimizer step, inside the compiled train step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints, KernelConstraint, is_kept, project
from armopt.compress.kernel_projections import KernelProjection, ZerosProjection, projection_of
from armopt.compress.kernels import kernels_of
from armopt.core.errors import UsageError


class ConstraintsCallback(keras.callbacks.Callback):
    """Keeps the recorded zeros and clusters of a model in your own `fit`.

    `model.fit(..., callbacks=[armopt.ConstraintsCallback(constraints)])`: every optimizer step is followed by the
    projection onto the constraints, inside the compiled train step. Values of plain clusters go on training; with
    shared codes each weight may move to another level of its kernel, and `constraints` says where it ended. Where the
    model carries the constraints itself, they are brought up to date on it when training ends.

    Args:
        constraints: the promises, by kernel key. Default: those that armopt recorded on the model.

    Raises:
        UsageError: a constraint names a kernel that the model does not have, or with another shape.
    """

    def __init__(self, constraints: Constraints | None = None) -> None:
        super().__init__()
        self._given = constraints
        self._original_step: Any = None
        self.projections: dict[str, KernelProjection] = {}

    @property
    def constraints(self) -> Constraints:
        """The promises as they stand: after training, with the codes that the weights ended at."""
        return self._given if self._given is not None else Constraints()

    def set_model(self, model: Any) -> None:
        """Called by `fit` before it compiles its step: the place to put the projection into it."""
        super().set_model(model)
        if self._original_step is not None:
            return
        if self._given is None:
            self._given = constraints_of(model)
        self.projections = {
            key: projection_of(variable, constraint) for key, (variable, constraint) in self._bound(model).items()
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
        for projection in self.projections.values():
            projection.start()

    def renew_zeros(self, key: str, keep: npt.NDArray[np.bool_]) -> None:
        """Put another mask in force for a kernel of which only zeros are promised, from the next step on."""
        projection = self.projections.get(key)
        if isinstance(projection, ZerosProjection):
            projection.assign_mask(keep)

    def project_onto(self, model: Any) -> None:
        """Bring the model's kernels onto the constraints once, outside of training."""
        for variable, constraint in self._bound(model).values():
            kernel = variable.numpy()
            if not is_kept(kernel, constraint):
                variable.assign(project(kernel, constraint))

    def _bound(self, model: Any) -> dict[str, tuple[Any, KernelConstraint]]:
        constraints = self._given if self._given is not None else constraints_of(model)
        variables = {kernel.key: kernel.variable for kernel in kernels_of(model)}
        return {key: (_checked(variables, key, constraint), constraint) for key, constraint in constraints.items()}

    def on_train_end(self, logs: Any = None) -> None:
        """Give the model its own train step back, and record where the codes ended."""
        self.model.train_step = self._original_step
        self.model.train_function = None
        self._original_step = None
        for key, projection in self.projections.items():
            self._given = self.constraints.with_kernel(key, projection.settled())
        if getattr(self.model, "armopt_constraints", None) is not None:
            self.model.armopt_constraints = self.constraints


def _checked(variables: dict[str, Any], key: str, constraint: KernelConstraint) -> Any:
    variable = variables.get(key)
    if variable is None or (constraint.shape and tuple(variable.shape) != constraint.shape):
        have = "no such kernel" if variable is None else f"shape {tuple(variable.shape)}"
        raise UsageError(
            f"the constraints speak of kernel '{key}', the model has {have}", "use the model they came with"
        )
    return variable


def constraints_of(model: Any) -> Constraints:
    """The constraints that armopt recorded on a model it returned; none for any other model."""
    recorded = getattr(model, "armopt_constraints", None)
    return recorded if isinstance(recorded, Constraints) else Constraints()

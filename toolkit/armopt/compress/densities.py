"""Gathers what density plots show: the kernels of models along a path, and the tensors they became in a .tflite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.audit import Promise, audit
from armopt.compress.constraints import Constraints, KernelConstraint
from armopt.compress.data import Array
from armopt.compress.kernels import Kernel, kernels_of
from armopt.compress.tflite_file import WeightTensor, read_weights
from armopt.core.densities import Density, KernelDensities, code_density, level_density, value_density
from armopt.core.records import LayerAudit

Tensors = Mapping[str, Sequence[WeightTensor]]


@dataclass(frozen=True, eq=False)
class Step:
    """A Keras model on the path.

    Attributes:
        title: of its panels.
        kernels: by key.
        constraints: what it promises; shared levels are drawn instead of values.
    """

    title: str
    kernels: Mapping[str, Kernel]
    constraints: Constraints

    @classmethod
    def of(cls, title: str, model: Any, constraints: Constraints) -> Step:
        """A tf-keras model as a step; fake-quantized ones too."""
        return cls(title, {kernel.key: kernel for kernel in kernels_of(model)}, constraints)


def kernel_densities(
    steps: Sequence[Step], file: tuple[str, Tensors] | None, keys: Sequence[str]
) -> Iterator[KernelDensities]:
    """The densities of each kernel in `keys`, one after the other, since a large model's need not be held together.

    Args:
        steps: the models, the float one first.
        file: title and tensors by kernel (see `tensors_of`) of the .tflite at the end of the path; None without.
        keys: kernels of the first model.
    """
    for key in keys:
        values = [step.kernels[key].variable.numpy() if key in step.kernels else None for step in steps]
        magnitudes = [float(np.abs(array).max(initial=0.0)) for array in values if array is not None]
        limit = max((m for m in magnitudes if np.isfinite(m)), default=0.0) or 1.0
        made = [
            _of_model(step.title, array, step.constraints.get(key), limit)
            for step, array in zip(steps, values, strict=True)
            if array is not None
        ]
        if file is not None:
            made += _of_file(file[0], file[1].get(key, ()), limit)
        first = next(array for array in values if array is not None)
        yield KernelDensities(key, tuple(first.shape), tuple(made))


def tensors_of(path: Path, kernels: Mapping[str, Kernel], audited: Sequence[LayerAudit] = ()) -> Tensors:
    """The tensors of a .tflite that each kernel became; a kernel that can't be found has none.

    Args:
        path: the file.
        kernels: with the values they were exported with, or close to them.
        audited: the file's audit where it was made from the exported values themselves: it is believed first.
    """
    tensors = read_weights(path)
    found: dict[str, list[WeightTensor]] = {}
    # The audit goes through the same tensors in the same order.
    if len(audited) == len(tensors):
        _collect(found, audited, tensors)
    missing = {
        key: Promise(kernel.kind, kernel.variable.numpy(), KernelConstraint())
        for key, kernel in kernels.items()
        if key not in found
    }
    if missing:
        _collect(found, audit(path, missing).layers, tensors)
    return found


def _collect(
    found: dict[str, list[WeightTensor]], layers: Sequence[LayerAudit], tensors: Sequence[WeightTensor]
) -> None:
    for layer, tensor in zip(layers, tensors, strict=True):
        if layer.constraint is not None:
            found.setdefault(layer.constraint, []).append(tensor)


def _of_model(title: str, values: Array, constraint: KernelConstraint | None, limit: float) -> Density:
    if constraint is not None and constraint.codes is not None and constraint.levels is not None:
        return level_density(title, constraint.levels[constraint.codes])
    return value_density(title, values, limit)


def _of_file(title: str, tensors: Sequence[WeightTensor], limit: float) -> list[Density]:
    """One density, or none where the kernel was not found; a tensor left float is drawn by value."""
    if not tensors:
        return []
    stored = [tensor for tensor in tensors if np.issubdtype(tensor.codes.dtype, np.integer)]
    if not stored:
        values = np.concatenate([tensor.values.ravel() for tensor in tensors])
        return [value_density(title, values, limit)]
    return [code_density(title, [(tensor.codes, tensor.zeros) for tensor in stored])]

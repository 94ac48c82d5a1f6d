"""Finds the weight tensors that can be pruned and clustered, in any model, by a name that survives copying."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np

from armopt.compress.backend import keras
from armopt.compress.data import Array
from armopt.compress.kinds import Kind

# Layer class (by its own name or a base's) -> weight attribute -> how the converter lays the tensor out, and the axes
# that one output sums over. Keras lays kernels out as taps, inputs, outputs; transposed ones as taps, outputs, inputs;
# an embedding is looked up, so its vectors count as rows.
_KINDS: dict[str, dict[str, tuple[Kind, tuple[int, ...]]]] = {
    "Conv1DTranspose": {"kernel": ("conv_transpose", (0, 2))},
    "Conv2DTranspose": {"kernel": ("conv_transpose", (0, 1, 3))},
    "Conv3DTranspose": {"kernel": ("other", (0, 1, 2, 4))},
    "SeparableConv1D": {"depthwise_kernel": ("depthwise", (0,)), "pointwise_kernel": ("conv", (0, 1))},
    "SeparableConv2D": {"depthwise_kernel": ("depthwise", (0, 1)), "pointwise_kernel": ("conv", (0, 1, 2))},
    "DepthwiseConv1D": {"depthwise_kernel": ("depthwise", (0,))},
    "DepthwiseConv2D": {"depthwise_kernel": ("depthwise", (0, 1))},
    "Conv1D": {"kernel": ("conv", (0, 1))},
    "Conv2D": {"kernel": ("conv", (0, 1, 2))},
    "Conv3D": {"kernel": ("other", (0, 1, 2, 3))},
    "Dense": {"kernel": ("dense", (0,))},
    "EinsumDense": {"kernel": ("einsum", ())},  # the layer's equation tells its axes
    "Embedding": {"embeddings": ("embedding", (1,))},
    "SimpleRNNCell": {"kernel": ("recurrent", (0,)), "recurrent_kernel": ("recurrent", (0,))},
    "LSTMCell": {"kernel": ("recurrent", (0,)), "recurrent_kernel": ("recurrent", (0,))},
    "GRUCell": {"kernel": ("recurrent", (0,)), "recurrent_kernel": ("recurrent", (0,))},
}


@dataclass(frozen=True)
class Kernel:
    """A weight tensor of a model.

    Attributes:
        key: `outer/inner/layer/attribute`, the same in every copy of the model.
        layer: the layer's own name.
        kind: how the converter lays it out.
        variable: the trainable tf.Variable that holds it.
        inputs: axes that one output sums over, for an embedding those of the vector.
    """

    key: str
    layer: str
    kind: Kind
    variable: Any
    inputs: tuple[int, ...] = ()

    def as_matrix(self, array: Array) -> Array:
        """An array of the kernel's shape as (outputs, inputs), the inputs of one output in the order they lie in."""
        outputs = [axis for axis in range(array.ndim) if axis not in self.inputs]
        rows = math.prod(array.shape[axis] for axis in outputs)
        return array.transpose(*outputs, *self.inputs).reshape(rows, -1)

    def from_matrix(self, matrix: Array) -> Array:
        """The array that `as_matrix` made the matrix of."""
        shape = tuple(self.variable.shape)
        order = [axis for axis in range(len(shape)) if axis not in self.inputs] + list(self.inputs)
        return matrix.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


@dataclass(frozen=True)
class RenamedKernels:
    """Set as `armopt_kernels` on a model whose layers were renamed or split, so that keys go on meaning the same."""

    kernels: tuple[Kernel, ...]


def kernels_of(model: Any) -> list[Kernel]:
    """All kernels of a tf-keras model, nested models and wrapped layers included, each variable once."""
    renamed = getattr(model, "armopt_kernels", None)
    if isinstance(renamed, RenamedKernels):
        return list(renamed.kernels)
    found: dict[int, Kernel] = {}
    times: Counter[str] = Counter()
    for kernel in _walk(model, ""):
        if id(kernel.variable) not in found:
            # Custom layers may give their parts one name; promises are kept by key, so each needs its own.
            times[kernel.key] += 1
            again = times[kernel.key]
            found[id(kernel.variable)] = kernel if again == 1 else replace(kernel, key=f"{kernel.key}~{again}")
    return list(found.values())


def is_spared(kernel: Kernel, patterns: tuple[str, ...]) -> bool:
    """True where a shell-style pattern names the kernel's layer, with or without the models around it, or its key."""
    path = kernel.key.rsplit("/", 1)[0]
    # A layer of a flattened model has its path for a name; users know it by the name it had in its own model.
    names = (kernel.layer, kernel.layer.rsplit("/", 1)[-1], path, kernel.key)
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def kernel_axes(layer_class: type) -> tuple[str, tuple[int, ...]]:
    """Attribute of the one kernel of a Keras layer class, and the axes of it that one output sums over."""
    ((attribute, (_, inputs)),) = _KINDS[layer_class.__name__].items()
    return attribute, inputs


def einsum_inputs(equation: str) -> tuple[int, ...]:
    """Axes of an EinsumDense's kernel that one output sums over."""
    _, kernel, result = _operands(equation)
    return tuple(axis for axis, letter in enumerate(kernel) if letter not in result)


def einsum_is_batched(equation: str) -> bool:
    """True where different places of the data meet different weights, which is a BATCH_MATMUL in the file."""
    data, kernel, result = _operands(equation)
    return bool(set(data) & set(kernel) & set(result))


def _einsum(equation: str) -> tuple[Kind, tuple[int, ...]]:
    return "other" if einsum_is_batched(equation) else "einsum", einsum_inputs(equation)


def _operands(equation: str) -> tuple[str, str, str]:
    data, kernel, result = equation.replace(" ", "").replace(".", "").replace("->", ",").split(",")
    return data, kernel, result


def _walk(owner: Any, prefix: str) -> Iterator[Kernel]:
    for layer in _children(owner):
        path = f"{prefix}{layer.name}"
        inner = _wrapped(layer)
        attributes = _attributes(inner)
        for attribute, (kind, inputs) in attributes.items():
            variable = _variable(layer, inner, attribute)
            if variable is not None and variable.trainable:
                if kind == "einsum":
                    kind, inputs = _einsum(inner.equation)
                yield Kernel(f"{prefix}{inner.name}/{attribute}", inner.name, kind, variable, inputs)
        if not attributes:
            yield from _walk(inner, f"{path}/")


def _children(owner: Any) -> list[Any]:
    """Direct sublayers; a Keras model lists them in order, any other layer through its tracked attributes."""
    if isinstance(owner, keras.Model):
        return list(owner.layers)
    return list(owner._flatten_layers(include_self=False, recursive=False))


def _wrapped(layer: Any) -> Any:
    # TFMOT's QuantizeWrapper holds the real layer, whose name the constraints know.
    return layer.layer if type(layer).__name__.startswith("QuantizeWrapper") else layer


def _attributes(layer: Any) -> dict[str, tuple[Kind, tuple[int, ...]]]:
    for base in type(layer).__mro__:
        if base.__module__.startswith(("tf_keras.", "keras.")) and base.__name__ in _KINDS:
            return _KINDS[base.__name__]
    return {}


def _variable(layer: Any, inner: Any, attribute: str) -> Any:
    # A quantizing wrapper replaces `inner.kernel` by the fake-quantized tensor and keeps the variable in its own list.
    for variable, *_ in getattr(layer, "_weight_vars", ()):
        if variable.name.split(":")[0].split("/")[-1] == attribute:
            return variable
    value = getattr(inner, attribute, None)
    return value if hasattr(value, "assign") else None

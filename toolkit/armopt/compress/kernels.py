"""Finds the weight tensors that can be pruned and clustered, in any model, by a name that survives copying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, Literal

from armopt.compress.backend import keras

Kind = Literal["conv", "conv_transpose", "depthwise", "dense", "embedding", "recurrent", "other"]

# Layer class (by its own name or a base's) -> weight attribute -> how the converter lays the tensor out.
_KINDS: dict[str, dict[str, Kind]] = {
    "Conv1DTranspose": {"kernel": "conv_transpose"},
    "Conv2DTranspose": {"kernel": "conv_transpose"},
    "Conv3DTranspose": {"kernel": "other"},
    "SeparableConv1D": {"depthwise_kernel": "depthwise", "pointwise_kernel": "conv"},
    "SeparableConv2D": {"depthwise_kernel": "depthwise", "pointwise_kernel": "conv"},
    "DepthwiseConv1D": {"depthwise_kernel": "depthwise"},
    "DepthwiseConv2D": {"depthwise_kernel": "depthwise"},
    "Conv1D": {"kernel": "conv"},
    "Conv2D": {"kernel": "conv"},
    "Conv3D": {"kernel": "other"},
    "Dense": {"kernel": "dense"},
    "EinsumDense": {"kernel": "other"},
    "Embedding": {"embeddings": "embedding"},
    "SimpleRNNCell": {"kernel": "recurrent", "recurrent_kernel": "recurrent"},
    "LSTMCell": {"kernel": "recurrent", "recurrent_kernel": "recurrent"},
    "GRUCell": {"kernel": "recurrent", "recurrent_kernel": "recurrent"},
}


@dataclass(frozen=True)
class Kernel:
    """A weight tensor of a model.

    Attributes:
        key: `outer/inner/layer/attribute`, the same in every copy of the model.
        layer: the layer's own name.
        kind: how the converter lays it out.
        variable: the trainable tf.Variable that holds it.
    """

    key: str
    layer: str
    kind: Kind
    variable: Any


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
    for kernel in _walk(model, ""):
        found.setdefault(id(kernel.variable), kernel)
    return list(found.values())


def is_spared(kernel: Kernel, patterns: tuple[str, ...]) -> bool:
    """True where a shell-style pattern names the kernel's layer or its whole key."""
    return any(fnmatch(kernel.layer, pattern) or fnmatch(kernel.key, pattern) for pattern in patterns)


def _walk(owner: Any, prefix: str) -> Iterator[Kernel]:
    for layer in _children(owner):
        path = f"{prefix}{layer.name}"
        inner = _wrapped(layer)
        attributes = _attributes(inner)
        for attribute, kind in attributes.items():
            variable = _variable(layer, inner, attribute)
            if variable is not None and variable.trainable:
                yield Kernel(f"{prefix}{inner.name}/{attribute}", inner.name, kind, variable)
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


def _attributes(layer: Any) -> dict[str, Kind]:
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

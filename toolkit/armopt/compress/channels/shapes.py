"""Shapes of all tensors within a flat model."""

from __future__ import annotations

from typing import Any

from armopt.compress.backend import tf
from armopt.compress.channels.parts import Shape
from armopt.compress.flatten import Flat, Value


def value_shapes(model: Any, flat: Flat) -> dict[Value, Shape]:
    """Shape of each tensor between calls, batch first; None where the model leaves a size open.

    The calls are traced, not run, and outside of Keras' own bookkeeping, so that no layer learns of a further call.
    """
    found: dict[Value, Shape] = {}

    def run(*inputs: Any) -> None:
        tensors: dict[Value, Any] = dict(zip(flat.inputs, inputs, strict=True))
        for call in flat.calls:
            args, kwargs = tf.nest.map_structure(
                lambda argument: tensors[argument] if isinstance(argument, Value) else argument,
                (call.args, call.kwargs),
            )
            made = tf.nest.flatten(call.layer(*args, **kwargs))
            tensors.update(zip(call.outputs, made, strict=True))
        for value, tensor in tensors.items():
            rank = tensor.shape.rank
            found[value] = () if rank is None else tuple(tensor.shape)

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    tf.function(run, autograph=False).get_concrete_function(*specs)
    return found

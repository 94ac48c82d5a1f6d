"""How channels pass through TensorFlow functions that a functional model calls on its tensors (`TFOpLambda`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from armopt.compress.backend import tf
from armopt.compress.channels.parts import Part, Refused, Site
from armopt.compress.flatten import Value

# As `TFOpLambda.symbol` names them: what keras.applications' models use, and their like.
_OF_ONE = frozenset(
    {
        *("nn.relu", "nn.relu6", "nn.elu", "nn.selu", "nn.gelu", "nn.silu", "nn.swish", "nn.leaky_relu"),
        *("math.sigmoid", "math.tanh", "math.abs", "math.exp", "math.square", "math.sqrt", "math.rsqrt"),
        *("math.negative", "__operators__.neg", "cast", "identity", "stop_gradient"),
    }
)
_OF_TWO = frozenset(
    {
        *(
            "math.add",
            "math.subtract",
            "math.multiply",
            "math.divide",
            "math.truediv",
            "math.maximum",
            "math.minimum",
            "math.pow",
        ),
        *("__operators__.add", "__operators__.sub", "__operators__.mul", "__operators__.truediv", "clip_by_value"),
    }
)
_REDUCTIONS = frozenset({"math.reduce_mean", "math.reduce_sum", "math.reduce_max", "math.reduce_min"})


def operation(site: Site) -> Part:
    """Element by element, resized, or reduced over places; every other function is refused."""
    symbol = str(site.layer.symbol)
    if symbol in _OF_ONE or symbol.startswith("image.resize"):
        return Part(site.only_input())
    if symbol in _OF_TWO:
        return _of_two(site)
    if symbol in _REDUCTIONS:
        return _reduced(site)
    raise Refused(f"calls {symbol}, through which channels are not followed")


def _of_two(site: Site) -> Part:
    wide = site.output_shape[-1]
    constants = [value for value in tf.nest.flatten((site.call.args, site.call.kwargs)) if not isinstance(value, Value)]
    if any(_width(constant) > 1 for constant in constants):
        raise Refused("computes with a number for each channel")
    if any(len(channels) != wide for channels in site.inputs):
        raise Refused("spreads one channel over many")
    for other in site.inputs[1:]:
        site.identities.join(site.inputs[0], other)
    return Part(site.inputs[0])


def _width(constant: Any) -> int:
    """Size of a constant's last axis; text and None, which name the operation, have one."""
    if constant is None or isinstance(constant, (str, bool, int, float)):
        return 1
    shape = np.shape(constant)
    return int(shape[-1]) if shape else 1


def _reduced(site: Site) -> Part:
    given = site.call.kwargs.get("axis", site.call.args[1] if len(site.call.args) > 1 else None)
    rank = len(site.input_shapes[0])
    axes = {axis % rank for axis in np.ravel(given)} if given is not None else set(range(rank))
    if {0, rank - 1} & axes:
        raise Refused("sums over the channels")
    return Part(site.only_input())

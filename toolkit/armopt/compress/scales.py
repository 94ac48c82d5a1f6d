"""Which weights of a Keras kernel share one INT8 scale in the converted file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from armopt.compress.kinds import Kind

# Axes of the output channel, in Keras's layout, of the kinds that the converter quantizes with a scale per channel
# (LiteRT's quantization specification: CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV and FULLY_CONNECTED).
_CHANNEL_AXES: dict[Kind, tuple[int, ...]] = {
    "conv": (-1,),
    "conv_transpose": (-2,),
    "depthwise": (-2, -1),
    "dense": (-1,),
}


def scale_groups(kind: Kind, shape: tuple[int, ...], inputs: tuple[int, ...] = ()) -> npt.NDArray[np.int32] | None:
    """Number of the scale group of each weight, in an array that broadcasts to the kernel's shape.

    Args:
        kind: of the kernel.
        shape: of the kernel, as Keras has it.
        inputs: axes that one output sums over, which the equation of an einsum tells; other kinds need none.

    Returns:
        Group numbers from 0, of size 1 along every axis that does not tell groups apart; None for kinds whose tensors
        have one scale, or that the converter lays out in more than one way.
    """
    axes = _CHANNEL_AXES.get(kind)
    if kind == "einsum" and inputs:
        axes = tuple(axis for axis in range(len(shape)) if axis not in inputs)
    if axes is None:
        return None
    along = tuple(axis % len(shape) for axis in axes)
    grouped = [size if axis in along else 1 for axis, size in enumerate(shape)]
    return np.arange(int(np.prod(grouped)), dtype=np.int32).reshape(grouped)

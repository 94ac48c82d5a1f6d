"""How the converter lays a Keras kernel out in a .tflite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations

from armopt.compress.data import Array
from armopt.compress.kinds import Kind

# Four axes have 72 matrices, each a copy to compare; five would have 480. Attention needs three.
_MOST_AXES = 4


def layouts(kind: Kind, array: Array) -> Iterator[list[Array]]:
    """The ways one kernel (or its mask, or its codes) may stand in the file, each as the list of tensors it becomes.

    Args:
        kind: of the kernel.
        array: of the kernel's shape.
    """
    if kind == "conv" and array.ndim == 4:  # HWIO -> OHWI
        yield [array.transpose(3, 0, 1, 2)]
    elif kind == "conv" and array.ndim == 3:  # Conv1D: KIO -> O1KI, or OK1I where the converter expands the other axis
        yield [array.transpose(2, 0, 1)[:, None]]
        yield [array.transpose(2, 0, 1)[:, :, None]]
    elif kind == "conv_transpose" and array.ndim == 4:  # HWOI -> OHWI
        yield [array.transpose(2, 0, 1, 3)]
    elif kind == "conv_transpose" and array.ndim == 3:
        yield [array.transpose(1, 0, 2)[:, None]]
    elif kind == "depthwise":  # HWCM -> 1HW(CM), KCM -> 11K(CM)
        flat = array.reshape(*array.shape[:-2], -1)
        yield [flat[None] if array.ndim == 4 else flat[None, None]]
        if array.ndim == 4 and array.shape[-2] == 1:  # one input channel: an ordinary convolution
            yield [array.transpose(3, 0, 1, 2)]
    elif kind == "dense":  # IO -> OI
        yield [array.T]
        yield [array]
    elif kind == "recurrent":  # I(4O) -> four gates OI, or whole
        yield [array.T]
        for gates in (4, 3):
            if array.shape[1] % gates == 0:
                width = array.shape[1] // gates
                yield [array[:, gate * width : (gate + 1) * width].T for gate in range(gates)]
        yield [array]
    elif kind == "einsum":
        yield from ([matrix] for matrix in _matrices(array))
    else:
        yield [array]


def _matrices(array: Array) -> Iterator[Array]:
    """Every matrix of outputs by inputs that an equation can make of its kernel; the converter makes one of them.

    Which axes are summed over, and in which order the two sides stand, is the equation's matter: MultiHeadAttention's
    projections read (c, d, e) as (de, c), its output (d, e, c) as (c, de).
    """
    for order in permutations(range(array.ndim)) if array.ndim <= _MOST_AXES else ():
        for cut in range(1, array.ndim):
            rows = math.prod(array.shape[axis] for axis in order[:cut])
            yield array.transpose(order).reshape(rows, -1)

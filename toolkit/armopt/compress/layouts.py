"""How the converter lays a Keras kernel out in a .tflite."""

from __future__ import annotations

from collections.abc import Iterator

from armopt.compress.data import Array
from armopt.compress.kernels import Kind


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
    else:
        yield [array]

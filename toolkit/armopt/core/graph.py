"""The operators of a model as its file lists them: what a time is told of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphOperator:
    """One operator of a .tflite.

    Attributes:
        index: position in the file; operators run in that order unless a delegate takes some of them ahead.
        kind: the builtin operator, such as 'CONV_2D'.
        name: of its output tensor, as the converter left it.
        shape: of its output.
        dtype: of its output, such as 'int8'.
        macs: multiply-accumulates of one inference; None for operators that do not sum up products.
        input_shape: of its first input.
        weight_bytes: bytes of the constants that it reads.
        activation: whether an activation function is fused into it.
        inputs: tensors that other operators or the caller give it.
        outputs: tensors that it makes.
    """

    index: int
    kind: str
    name: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    macs: int | None = None
    input_shape: tuple[int, ...] = ()
    weight_bytes: int = 0
    activation: bool = False
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

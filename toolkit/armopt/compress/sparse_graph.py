"""The operators of a float .tflite as XNNPACK sees them when it looks for sparse parts: with padding folded in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from armopt.compress.tflite_file import damage_told, operator_name, read_model

Role = Literal["begin", "inside", "end", "none"]
"""Of a part laid out by channel: `begin` reads rows of pixels and writes channels, `end` the other way round."""
Padding = tuple[int, int, int, int]
"""Zeros above, below, left and right of a picture."""

# Operators that compute one value from one value, wherever it lies.
_ELEMENTWISE = frozenset(
    ("ABS", "CEIL", "ELU", "FLOOR", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_N1_TO_1")
)
_AT_LOAD = frozenset({"DENSIFY", "DEQUANTIZE"})
_PICTURE_AXES = 4


@dataclass(frozen=True)
class Operation:
    """One operator that computes.

    Attributes:
        index: in the file.
        kind: the builtin operator's name.
        label: what a user knows it by.
        role: that it can have in a part laid out by channel.
        reason: why it can have none (or can't begin one), as a predicate: 'has stride 2 and no explicit padding'.
        inputs: tensors that are computed, without constants.
        outputs: tensors.
        kernel: the tensor that stores its weights; None where it has none.
        pointwise: it is a 1x1 convolution.
    """

    index: int
    kind: str
    label: str
    role: Role
    reason: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: int | None = None
    pointwise: bool = False


def read_operations(path: Path) -> tuple[tuple[Operation, ...], bool]:
    """The operators of the first subgraph, and whether any of its tensors is stored without its zeros.

    Raises:
        UsageError: missing or not a .tflite.
    """
    with damage_told(path):
        model = read_model(path)
        graph = _Graph(model)
        sparse = any(tensor.sparsity is not None for tensor in model.subgraphs[0].tensors)
        return tuple(graph.operations()), sparse


class _Graph:
    def __init__(self, model: Any) -> None:
        self._model, self._graph = model, model.subgraphs[0]
        self._operators = [
            (operator_name(model.operatorCodes[operator.opcodeIndex]), operator)
            for operator in self._graph.operators or ()
        ]
        self._stored = {
            int(operator.outputs[0]): int(operator.inputs[0]) for kind, operator in self._operators if kind in _AT_LOAD
        }
        reads = Counter(int(tensor) for _, operator in self._operators for tensor in operator.inputs)
        self._reads = reads + Counter(int(tensor) for tensor in self._graph.outputs)
        self._pads = {
            int(operator.outputs[0]): operator for kind, operator in self._operators if self._is_padding(kind, operator)
        }

    def operations(self) -> list[Operation]:
        """Those that compute: a PAD that its reader took in does not."""
        made = [
            self._operation(index, kind, operator)
            for index, (kind, operator) in enumerate(self._operators)
            if kind not in _AT_LOAD
        ]
        read = {tensor for operation in made for tensor in operation.inputs}
        return [made_one for made_one in made if made_one.outputs[0] not in self._pads.keys() - read]

    def _operation(self, index: int, kind: str, operator: Any) -> Operation:
        numbers = [int(tensor) for tensor in operator.inputs if tensor >= 0]
        inputs = tuple(tensor for tensor in numbers if not self._is_constant(tensor))
        kernel, pointwise = None, False
        role: Role = "none"
        reason = "can't be laid out by channel"
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and len(numbers) > 1:
            kernel = self._store_of(numbers[1])
            padding, inputs = self._padding(operator, inputs, self._shape(kernel))
            check = _convolution if kind == "CONV_2D" else _depthwise
            role, reason = check(operator.builtinOptions, self._shape(kernel), self._shape(numbers[0]), padding)
            pointwise = kind == "CONV_2D" and role == "inside"
        elif kind in ("ADD", "MUL"):
            role, reason = self._pair(numbers)
        elif (kind in ("MEAN", "SUM") and len(self._shape(numbers[0])) == _PICTURE_AXES) or kind == "DEPTH_TO_SPACE":
            role, reason = "end", ""
        elif kind == "RESIZE_BILINEAR" or (kind in _ELEMENTWISE and len(self._shape(numbers[0])) == _PICTURE_AXES):
            role, reason = "inside", ""
        outputs = tuple(int(tensor) for tensor in operator.outputs)
        return Operation(index, kind, self._label(kind, outputs), role, reason, inputs, outputs, kernel, pointwise)

    def _pair(self, numbers: Sequence[int]) -> tuple[Role, str]:
        """Of a sum or a product: both four axes; a constant has one value a channel."""
        shapes = [self._shape(tensor) for tensor in numbers]
        if any(len(shape) != _PICTURE_AXES for shape in shapes):
            return "none", "has an operand that is no picture"
        wide = [s for t, s in zip(numbers, shapes, strict=True) if self._is_constant(t) and sum(n != 1 for n in s) > 1]
        return ("none", "has a constant that differs from pixel to pixel") if wide else ("inside", "")

    def _padding(
        self, operator: Any, inputs: tuple[int, ...], kernel: tuple[int, ...]
    ) -> tuple[Padding | None, tuple[int, ...]]:
        """Zeros around the input, with those of a PAD before it; None where the runtime finds them itself ('same')."""
        options = operator.builtinOptions
        if options.padding == 0:  # SAME
            if (options.strideH, options.strideW) != (1, 1):
                return None, inputs
            rows, columns = (kernel[1] - 1) * options.dilationHFactor, (kernel[2] - 1) * options.dilationWFactor
            return (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2), inputs
        pad = self._pads.get(inputs[0]) if inputs else None
        if pad is None:
            return (0, 0, 0, 0), inputs
        around = self._constant(int(pad.inputs[1])).reshape(-1, 2)
        above, below, left, right = (int(zeros) for zeros in around[1:3].ravel())
        return (above, below, left, right), (int(pad.inputs[0]), *inputs[1:])

    def _is_padding(self, kind: str, operator: Any) -> bool:
        """A PAD of height and width that one operator reads: XNNPACK makes it part of that."""
        if kind != "PAD" or self._reads[int(operator.outputs[0])] != 1:
            return False
        around = self._constant(int(operator.inputs[1]))
        return around.size == 2 * _PICTURE_AXES and not around.reshape(-1, 2)[[0, 3]].any()

    def _constant(self, tensor: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        data = self._model.buffers[self._graph.tensors[tensor].buffer].data
        return np.frombuffer(b"" if data is None else bytes(data), np.int32)

    def _is_constant(self, tensor: int) -> bool:
        data = self._model.buffers[self._graph.tensors[self._store_of(tensor)].buffer].data
        return data is not None and len(data) > 0

    def _store_of(self, tensor: int) -> int:
        for _ in range(2):  # sparse, then narrow
            tensor = self._stored.get(tensor, tensor)
        return tensor

    def _shape(self, tensor: int) -> tuple[int, ...]:
        shape = self._graph.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def _label(self, kind: str, outputs: Sequence[int]) -> str:
        name = self._graph.tensors[outputs[0]].name if outputs else b""
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")
        # The converter joins the names of all layers that an operator took in; the last is the convolution's own.
        return f"{kind} '{text.rsplit(';', 1)[-1][-80:]}'"


def _convolution(
    options: Any, kernel: tuple[int, ...], picture: tuple[int, ...], padding: Padding | None
) -> tuple[Role, str]:
    size, strides = kernel[1:3], (options.strideH, options.strideW)
    if picture[3] != kernel[3]:
        return "none", "is of groups"
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        return "none", "is dilated"
    if size == (1, 1):
        return ("inside", "") if strides == (1, 1) and padding == (0, 0, 0, 0) else ("none", "is 1x1 with a stride")
    if size != (3, 3) or strides != (2, 2):
        return "none", f"is {size[0]}x{size[1]} of stride {strides[0]}"
    if kernel[3] != 3:
        return "none", f"reads {kernel[3]} channel{'s' if kernel[3] != 1 else ''}"
    return ("begin", "") if padding == (1, 1, 1, 1) else ("none", _badly_padded(padding))


def _depthwise(
    options: Any, kernel: tuple[int, ...], picture: tuple[int, ...], padding: Padding | None
) -> tuple[Role, str]:
    size, strides = kernel[1:3], (options.strideH, options.strideW)
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        return "none", "is dilated"
    if picture[3] != kernel[3]:
        return "none", "has a depth multiplier"
    if size not in ((3, 3), (5, 5)) or strides not in ((1, 1), (2, 2)):
        return "none", f"is {size[0]}x{size[1]} of stride {strides[0]}"
    wanted = size[0] // 2
    return ("inside", "") if padding == (wanted,) * 4 else ("none", _badly_padded(padding))


def _badly_padded(padding: Padding | None) -> str:
    if padding is None:
        return "has stride 2 with padding='same'"
    return f"has {padding[0]}, {padding[1]}, {padding[2]}, {padding[3]} zeros above, below, left and right"

"""Writes .tflite files operator by operator with random weights: no Keras, no TensorFlow, no converter.

What published latencies were measured on are files of earlier converters, which today's can't make any more; and a
conversion takes a minute where this takes well under a second. Latency does not depend on the weights' values, only on
shapes, types and (a little) on how many activations are zero. Hence the scales are chosen so that every convolution's
sums have one spread, a ReLU cuts half of them and next to nothing saturates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_parts import Array, Declared, Dtype, pack

Activation = Literal["none", "relu", "relu6"]

_OP = schema.BuiltinOperator
_OPTIONS = schema.BuiltinOptions
_TYPES = schema.TensorType
_FUSED = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}
_NAMES = {value: name for name, value in vars(_OP).items() if isinstance(value, int)}
_LOWEST = {"int8": -128, "uint8 per-tensor": 0}
_LARGEST_WEIGHT = 127  # codes of weights reach this far to both sides of their zero point
_WEIGHT_ZERO = {"int8": 0, "uint8 per-tensor": 128}
_SUM_RMS = 2.0  # of each convolution's outputs before its activation; ReLU6 then cuts the upper 0.1% of them


@dataclass(frozen=True)
class Values:
    """What real values a tensor is expected to hold; quantization covers `low` to `high`."""

    low: float
    high: float
    rms: float

    @property
    def scale(self) -> float:
        """One step of 8-bit codes."""
        return (self.high - self.low) / 255

    def zero_point(self, dtype: Dtype) -> int:
        """The code of 0.0."""
        return _LOWEST[dtype] + round(-self.low / self.scale)


# A normal distribution of _SUM_RMS within four of its standard deviations, and what an activation leaves of it.
_AFTER: dict[Activation, Values] = {
    "none": Values(-4 * _SUM_RMS, 4 * _SUM_RMS, _SUM_RMS),
    "relu": Values(0.0, 4 * _SUM_RMS, _SUM_RMS / math.sqrt(2)),
    "relu6": Values(0.0, 6.0, _SUM_RMS / math.sqrt(2)),
}
_PIXELS = Values(-1.0, 1.0, 1 / math.sqrt(3))


@dataclass(frozen=True)
class Tensor:
    """A tensor of a `Graph` that the next operator can take."""

    index: int
    shape: tuple[int, ...]
    values: Values


class Graph:
    """A network of one input and one output that grows by one operator per call; nothing is allocated before `content`.

    Args:
        dtype: of weights, activations, input and output.
        shape: of the input, NHWC.

    Attributes:
        input: the tensor to begin with.
        macs: multiply-accumulates of one inference.
        activations: elements of all operators' outputs.
        operators: how many of each builtin operator.
        sequence: the operators' names in order.
    """

    def __init__(self, dtype: Dtype, shape: tuple[int, int, int, int]) -> None:
        self.dtype = dtype
        self.macs = 0
        self.activations = 0
        self.sequence: list[str] = []
        self._tensors: list[Declared] = []
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}
        self._scatter = np.random.default_rng(1)
        self.input = self._activation(shape, _PIXELS)

    @property
    def operators(self) -> Counter[str]:
        """How many of each builtin operator there are."""
        return Counter(self.sequence)

    def convolution(
        self, x: Tensor, filters: int, kernel: int = 1, stride: int = 1, activation: Activation = "none"
    ) -> Tensor:
        """Convolution with bias, padded to SAME."""
        options = schema.Conv2DOptionsT(
            padding=schema.Padding.SAME, strideW=stride, strideH=stride, fusedActivationFunction=_FUSED[activation]
        )
        fan_in = kernel * kernel * x.shape[3]
        weights = self._weights(x, (filters, kernel, kernel, x.shape[3]), 0, fan_in)
        shape = _strided(x, stride, filters)
        self.macs += math.prod(shape) * fan_in
        return self._add_operator(_OP.CONV_2D, [x.index, *weights], shape, _AFTER[activation], options)

    def depthwise(self, x: Tensor, kernel: int, stride: int = 1, activation: Activation = "none") -> Tensor:
        """Depthwise convolution with bias and multiplier 1, padded to SAME."""
        options = schema.DepthwiseConv2DOptionsT(
            padding=schema.Padding.SAME,
            strideW=stride,
            strideH=stride,
            depthMultiplier=1,
            fusedActivationFunction=_FUSED[activation],
        )
        weights = self._weights(x, (1, kernel, kernel, x.shape[3]), 3, kernel * kernel)
        shape = _strided(x, stride, x.shape[3])
        self.macs += math.prod(shape) * kernel * kernel
        return self._add_operator(_OP.DEPTHWISE_CONV_2D, [x.index, *weights], shape, _AFTER[activation], options)

    def fully_connected(self, x: Tensor, units: int) -> Tensor:
        """Fully connected layer with bias on (1, features)."""
        weights = self._weights(x, (units, x.shape[1]), 0, x.shape[1])
        self.macs += units * x.shape[1]
        options = schema.FullyConnectedOptionsT()
        return self._add_operator(_OP.FULLY_CONNECTED, [x.index, *weights], (1, units), _AFTER["none"], options)

    def add(self, x: Tensor, y: Tensor, activation: Activation = "none") -> Tensor:
        """Sum of two tensors of one shape."""
        rms = math.hypot(x.values.rms, y.values.rms)
        values = Values(-4 * rms if activation == "none" else 0.0, 4 * rms, rms)
        options = schema.AddOptionsT(fusedActivationFunction=_FUSED[activation])
        return self._add_operator(_OP.ADD, [x.index, y.index], x.shape, values, options)

    def multiply(self, x: Tensor, y: Tensor) -> Tensor:
        """Product; `y` may be 1x1 where `x` is not."""
        ends = [a * b for a in (x.values.low, x.values.high) for b in (y.values.low, y.values.high)]
        values = Values(min(ends), max(ends), x.values.rms * y.values.rms)
        return self._add_operator(_OP.MUL, [x.index, y.index], x.shape, values, schema.MulOptionsT())

    def hard_sigmoid(self, x: Tensor) -> Tensor:
        """ReLU6(x + 3) / 6 as two operators: TensorFlow Lite has none of its own."""
        options = schema.AddOptionsT(fusedActivationFunction=_FUSED["relu6"])
        three, sixth = self._constant(3.0), self._constant(1 / 6)
        x = self._add_operator(_OP.ADD, [x.index, three.index], x.shape, Values(0.0, 6.0, 3.5), options)
        return self.multiply(x, sixth)

    def hard_swish(self, x: Tensor) -> Tensor:
        """The product x * ReLU6(x + 3) / 6."""
        values = Values(-0.375, x.values.high, x.values.rms / math.sqrt(2))  # -0.375: its minimum, at -1.5
        return self._add_operator(_OP.HARD_SWISH, [x.index], x.shape, values, None)

    def average(self, x: Tensor) -> Tensor:
        """Average pooling over the whole picture, to (1, 1, 1, channels)."""
        options = schema.Pool2DOptionsT(
            padding=schema.Padding.VALID, strideW=1, strideH=1, filterHeight=x.shape[1], filterWidth=x.shape[2]
        )
        return self._add_operator(_OP.AVERAGE_POOL_2D, [x.index], (1, 1, 1, x.shape[3]), x.values, options)

    def max_pool(self, x: Tensor, kernel: int, stride: int) -> Tensor:
        """Maximum pooling, padded to SAME."""
        options = schema.Pool2DOptionsT(
            padding=schema.Padding.SAME, strideW=stride, strideH=stride, filterHeight=kernel, filterWidth=kernel
        )
        values = Values(x.values.low, x.values.high, 2 * x.values.rms)  # as the largest of 9 values after a ReLU has
        return self._add_operator(_OP.MAX_POOL_2D, [x.index], _strided(x, stride, x.shape[3]), values, options)

    def flatten(self, x: Tensor) -> Tensor:
        """(1, features)."""
        shape = (1, math.prod(x.shape))
        target = self._declare(Declared((2,), _TYPES.INT32, content=lambda _: np.array(shape, np.int32)))
        options = schema.ReshapeOptionsT(newShape=np.array(shape, np.int32))
        return self._add_operator(_OP.RESHAPE, [x.index, target], shape, x.values, options)

    def softmax(self, x: Tensor) -> Tensor:
        """Probabilities; their quantization is fixed by the operator: steps of 1/256 from 0."""
        options = schema.SoftmaxOptionsT(beta=1.0)
        return self._add_operator(_OP.SOFTMAX, [x.index], x.shape, Values(0.0, 255 / 256, 0.1), options)

    def content(self, output: Tensor) -> bytes:
        """The .tflite whose output is `output`; the same weights each time."""
        return pack(self._tensors, self._operators, list(self._codes), (self.input.index, output.index), self.dtype)

    def _add_operator(
        self, code: int, inputs: list[int], shape: tuple[int, ...], values: Values, options: Any
    ) -> Tensor:
        output = self._activation(shape, values)
        operator = schema.OperatorT(
            opcodeIndex=self._codes.setdefault(code, len(self._codes)),
            inputs=np.array(inputs, np.int32),
            outputs=np.array([output.index], np.int32),
        )
        if options is not None:
            operator.builtinOptionsType = getattr(_OPTIONS, type(options).__name__.removesuffix("T"))
            operator.builtinOptions = options
        self._operators.append(operator)
        self.sequence.append(_NAMES[code])
        self.activations += math.prod(shape)
        return output

    def _declare(self, declared: Declared) -> int:
        self._tensors.append(declared)
        return len(self._tensors) - 1

    def _activation(
        self, shape: tuple[int, ...], values: Values, content: Callable[[np.random.Generator], Array] | None = None
    ) -> Tensor:
        if self.dtype == "fp32":
            declared = Declared(shape, _TYPES.FLOAT32, content=content)
        else:
            scales, zero = np.array([values.scale], np.float32), values.zero_point(self.dtype)
            declared = Declared(shape, self._codes_type, scales, zero, content=content)
        return Tensor(self._declare(declared), shape, values)

    @property
    def _codes_type(self) -> int:
        return int(_TYPES.INT8 if self.dtype == "int8" else _TYPES.UINT8)

    @property
    def _numbers(self) -> Any:
        return {"fp32": np.float32, "int8": np.int8, "uint8 per-tensor": np.uint8}[self.dtype]

    def _constant(self, value: float) -> Tensor:
        stored = value if self.dtype == "fp32" else _LOWEST[self.dtype] + 255
        return self._activation((1,), Values(0.0, value, value), lambda _: np.array([stored], self._numbers))

    def _weights(self, x: Tensor, shape: tuple[int, ...], axis: int, fan_in: int) -> tuple[int, int]:
        """Indices of a kernel and its bias, so that sums over `fan_in` values like those of `x` have _SUM_RMS."""
        # Evenly spread codes up to 127 have an rms of 127 / sqrt(3).
        scale = _SUM_RMS / (math.sqrt(fan_in) * x.values.rms) / (_LARGEST_WEIGHT / math.sqrt(3))
        channels = shape[axis]
        if self.dtype == "int8":
            scales = (scale * self._scatter.uniform(0.7, 1.3, channels)).astype(np.float32)
        else:
            # One scale for all has axis 0 in hosted files too; XNNPACK does not take depthwise kernels with another.
            scales, axis = np.full(1, scale, np.float32), 0

        def codes(random: np.random.Generator) -> Array:
            return random.integers(-_LARGEST_WEIGHT, _LARGEST_WEIGHT, shape, np.int8, endpoint=True)

        def biases(random: np.random.Generator) -> Array:
            return random.uniform(-0.5, 0.5, channels).astype(np.float32)

        if self.dtype == "fp32":
            kernel = Declared(shape, _TYPES.FLOAT32, content=lambda random: codes(random) * scales)
            bias = Declared((channels,), _TYPES.FLOAT32, content=biases)
        else:
            zero, steps = _WEIGHT_ZERO[self.dtype], scales * np.float32(x.values.scale)
            kernel = Declared(
                shape,
                self._codes_type,
                scales,
                zero,
                axis,
                lambda random: (codes(random).astype(np.int16) + zero).astype(self._numbers),
            )
            bias = Declared(
                (channels,),
                _TYPES.INT32,
                steps,
                content=lambda random: np.rint(biases(random) / steps).astype(np.int32),
            )
        return self._declare(kernel), self._declare(bias)


def _strided(x: Tensor, stride: int, channels: int) -> tuple[int, ...]:
    """Shape after a window that is padded to SAME."""
    return (1, math.ceil(x.shape[1] / stride), math.ceil(x.shape[2] / stride), channels)

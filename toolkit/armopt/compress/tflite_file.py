"""Reads the weights of a .tflite with LiteRT's own schema."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.data import Array
from armopt.compress.sparse_file import dense_values
from armopt.core.errors import UsageError

# Operators and the inputs of theirs that are weights (schema.fbs and the kernels' documentation). An input is listed
# only if it holds a kernel; biases and state tensors are not weights.
_WEIGHT_INPUTS: dict[str, tuple[int, ...]] = {
    "CONV_2D": (1,),
    "CONV_3D": (1,),
    "CONV_3D_TRANSPOSE": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "TRANSPOSE_CONV": (1,),
    "FULLY_CONNECTED": (1,),
    "BATCH_MATMUL": (0, 1),
    "EMBEDDING_LOOKUP": (1,),
    "GATHER": (0,),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (1, 2),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (1, 2, 3, 4, 5, 6, 7, 8),
}
# Axis of the output channel in the file's layout; where none is named the first axis is it.
_CHANNEL_AXIS = {"DEPTHWISE_CONV_2D": 3, "CONV_3D": 4, "CONV_3D_TRANSPOSE": 4}
# A sparse float16 kernel is made dense, then float32.
_WIDENINGS = 2


@dataclass(frozen=True, eq=False)
class WeightTensor:
    """A constant tensor that an operator multiplies with.

    Attributes:
        index: (subgraph, tensor) in the file.
        name: as the converter left it.
        operator: the builtin operator's name.
        codes: stored values, in the file's layout.
        zero_point: code of the real value 0, per channel or one for all.
        scales: real value of one code, one or one per channel; empty where the tensor is float.
        channel_axis: axis of the output channel.
    """

    index: tuple[int, int]
    name: str
    operator: str
    codes: Array
    zero_point: Array
    scales: Array
    channel_axis: int

    @property
    def zeros(self) -> Array:
        """True where the real value is exactly 0."""
        return np.asarray(self.codes == self._along_channels(self.zero_point))

    @property
    def values(self) -> Array:
        """Real values, float32."""
        if not self.scales.size:
            return self.codes.astype(np.float32)
        shifted = self.codes.astype(np.int32) - self._along_channels(self.zero_point)
        return np.asarray(shifted * self._along_channels(self.scales), np.float32)

    def by_channel(self, array: Array) -> Array:
        """An array of the tensor's shape as (channels, weights of the channel)."""
        return np.moveaxis(array, self.channel_axis, 0).reshape(array.shape[self.channel_axis], -1)

    def _along_channels(self, per_channel: Array) -> Array:
        if per_channel.size <= 1:
            return per_channel.reshape(()) if per_channel.size else np.zeros((), np.int64)
        shape = [1] * self.codes.ndim
        shape[self.channel_axis] = per_channel.size
        return per_channel.reshape(shape)


def read_weights(path: Path) -> list[WeightTensor]:
    """All weight tensors of a .tflite, each once, in the order of the operators that read them.

    Raises:
        UsageError: missing or not a .tflite.
    """
    with damage_told(path):
        return list(_weights(read_model(path)))


def float_operators(path: Path) -> list[str]:
    """Names of the operators that compute in float32; those that only convert to and from codes are not among them."""
    from ai_edge_litert.schema_py_generated import TensorType

    found = {}
    with damage_told(path):
        model = read_model(path)
        for graph in model.subgraphs:
            for operator in graph.operators or ():
                name = operator_name(model.operatorCodes[operator.opcodeIndex])
                types = [graph.tensors[index].type for index in operator.outputs if index >= 0]
                if TensorType.FLOAT32 in types and name not in ("QUANTIZE", "DEQUANTIZE"):
                    found[name] = True
    return list(found)


def read_model(path: Path) -> Any:
    """The whole file as the schema's ModelT.

    Raises:
        UsageError: missing or not a .tflite.
    """
    from ai_edge_litert import schema_py_generated as schema

    if not path.is_file():
        raise UsageError(f"'{path}' not found", "give the path of a .tflite")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise UsageError(f"'{path}' is not a .tflite", "export a model with armopt deploy")
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


@contextlib.contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Meanwhile whatever a file makes the generated reader raise is a UsageError that says so."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # the generated reader walks offsets unchecked; what it returns may fit nothing
        raise UsageError(f"'{path}' is damaged", "export or copy it again") from error


def _weights(model: Any) -> Iterator[WeightTensor]:
    seen: set[tuple[int, int]] = set()
    for number, graph in enumerate(model.subgraphs):
        stored = _widened(model, graph)
        for operator in graph.operators or ():
            name = operator_name(model.operatorCodes[operator.opcodeIndex])
            for position in _WEIGHT_INPUTS.get(name, ()):
                index = int(operator.inputs[position]) if position < len(operator.inputs) else -1
                for _ in range(_WIDENINGS):
                    index = stored.get(index, index)
                if index < 0 or (number, index) in seen:
                    continue
                tensor = _weight(model, number, index, name)
                if tensor is not None:
                    seen.add((number, index))
                    yield tensor


def _widened(model: Any, graph: Any) -> dict[int, int]:
    """Tensors that only widen another one, as float16 and sparse weights are when a file is loaded: to that one."""
    return {
        int(operator.outputs[0]): int(operator.inputs[0])
        for operator in graph.operators or ()
        if operator_name(model.operatorCodes[operator.opcodeIndex]) in ("DEQUANTIZE", "DENSIFY")
    }


def _weight(model: Any, graph: int, index: int, operator: str) -> WeightTensor | None:
    tensor = model.subgraphs[graph].tensors[index]
    data = model.buffers[tensor.buffer].data
    dtype = _dtype(tensor.type)
    if data is None or len(data) == 0 or dtype is None:
        return None
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    codes: Array = np.frombuffer(bytes(data), dtype)
    if tensor.sparsity is not None:
        codes = dense_values(shape, codes, tensor.sparsity)
    if codes.size != int(np.prod(shape)) or codes.size <= 1:
        return None
    quantization = tensor.quantization
    scales = _array(quantization.scale if quantization else None, np.float64)
    zero_point = _array(quantization.zeroPoint if quantization else None, np.int64)
    axis = int(quantization.quantizedDimension) if scales.size > 1 else _CHANNEL_AXIS.get(operator, 0)
    axis = min(axis, len(shape) - 1)
    if not {scales.size, zero_point.size} <= {0, 1, shape[axis]} or not np.isfinite(scales).all():
        raise ValueError("scales that do not fit the tensor")
    name = tensor.name.decode(errors="replace") if isinstance(tensor.name, bytes) else str(tensor.name)
    return WeightTensor((graph, index), name, operator, codes.reshape(shape), zero_point, scales, axis)


def _array(values: Any, dtype: type) -> Array:
    return np.asarray([] if values is None else values, dtype)


def _dtype(code: int) -> type | None:
    from ai_edge_litert.schema_py_generated import TensorType

    return {
        TensorType.INT8: np.int8,
        TensorType.UINT8: np.uint8,
        TensorType.INT16: np.int16,
        TensorType.FLOAT32: np.float32,
        TensorType.FLOAT16: np.float16,
    }.get(code)


def operator_name(code: Any) -> str:
    """Name of the builtin operator that an OperatorCodeT stands for, such as CONV_2D."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    # Files of old converters carry the code in the deprecated byte.
    number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
    names: dict[int, str] = {value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    return names.get(number, str(number))

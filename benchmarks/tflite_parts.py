"""What a .tflite is put together from: tensors, operators and their versions, in an aligned flatbuffer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Array = npt.NDArray[Any]
# 'int8' has a scale per channel, as converters give it since TensorFlow 2.0; 'uint8 per-tensor' is from before.
Dtype = Literal["fp32", "int8", "uint8 per-tensor"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)

_OP = schema.BuiltinOperator
# Versions of the operators in int8: tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc. In fp32 and uint8 all
# of them are version 1.
_INT8_VERSIONS = {
    _OP.CONV_2D: 3,
    _OP.DEPTHWISE_CONV_2D: 3,
    _OP.FULLY_CONNECTED: 4,
    _OP.ADD: 2,
    _OP.MUL: 2,
    _OP.AVERAGE_POOL_2D: 2,
    _OP.MAX_POOL_2D: 2,
    _OP.SOFTMAX: 2,
}
_BUFFER_ALIGNMENT = 16  # `force_align: 16` in the schema, which the generated packer does not know


@dataclass(frozen=True)
class Declared:
    """A tensor as the file will have it.

    Args:
        shape: of the tensor.
        type: one of the schema's TensorType.
        scales: of the codes, one or one per channel; None for real numbers.
        zero_point: the code of 0.0.
        axis: of the channels.
        content: makes a constant's numbers; None for activations.
    """

    shape: tuple[int, ...]
    type: int
    scales: Array | None = None
    zero_point: int = 0
    axis: int = 0
    content: Callable[[np.random.Generator], Array] | None = None


def pack(
    declared: list[Declared], operators: list[Any], codes: list[int], ends: tuple[int, int], dtype: Dtype
) -> bytes:
    """The .tflite.

    Args:
        declared: all tensors.
        operators: the schema's OperatorT in order of execution.
        codes: BuiltinOperator of each operator code.
        ends: indices of the input and the output.
        dtype: decides on the operators' versions.
    """
    random = np.random.default_rng(1)
    buffers, tensors = [schema.BufferT()], []
    for number, tensor in enumerate(declared):
        buffer = 0  # by convention empty: an activation
        if tensor.content is not None:
            buffer = len(buffers)
            buffers.append(schema.BufferT(data=tensor.content(random).reshape(-1).view(np.uint8)))
        tensors.append(_tensor(tensor, f"tensor_{number}", buffer))
    subgraph = schema.SubGraphT(
        tensors=tensors,
        inputs=np.array(ends[:1], np.int32),
        outputs=np.array(ends[1:], np.int32),
        operators=operators,
        name="main",
    )
    operator_codes = [_operator_code(code, dtype) for code in codes]
    model = schema.ModelT(version=3, operatorCodes=operator_codes, subgraphs=[subgraph], buffers=buffers)
    builder = _AlignedBuilder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):
    def CreateNumpyVector(self, x: Array) -> int:
        """As in the base class, at an alignment that suits a buffer."""
        self.Prep(_BUFFER_ALIGNMENT, x.nbytes)
        return int(super().CreateNumpyVector(x))


def _tensor(declared: Declared, name: str, buffer: int) -> Any:
    tensor = schema.TensorT(shape=np.array(declared.shape, np.int32), type=declared.type, buffer=buffer, name=name)
    if declared.scales is not None:
        zeros = np.full(declared.scales.size, declared.zero_point, np.int64)
        tensor.quantization = schema.QuantizationParametersT(
            scale=declared.scales, zeroPoint=zeros, quantizedDimension=declared.axis
        )
    return tensor


def _operator_code(code: int, dtype: Dtype) -> Any:
    version = _INT8_VERSIONS.get(code, 1) if dtype == "int8" else 1
    # Readers from before 2020 know operators by a byte.
    return schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=version)

"""An INT8 model of one fully connected layer, made in memory: a runtime that runs it can run models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUTS, OUTPUTS = 16, 8
_VERSION = 4  # of FULLY_CONNECTED on int8


def small_model() -> bytes:
    """The .tflite: int8 (1, 16) in, int8 (1, 8) out, the same bytes every time."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    random = np.random.default_rng(1)
    weights = random.integers(-127, 128, (OUTPUTS, INPUTS), dtype=np.int8)
    bias = random.integers(-1000, 1000, OUTPUTS, dtype=np.int32)
    buffers = [schema.BufferT(), *(schema.BufferT(data=_bytes(array)) for array in (weights, bias))]
    int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
    tensors = [
        _tensor(schema, "input", (1, INPUTS), int8, 0, 0.05),
        _tensor(schema, "weights", weights.shape, int8, 1, 0.01),
        _tensor(schema, "bias", bias.shape, int32, 2, 0.0005),
        _tensor(schema, "output", (1, OUTPUTS), int8, 0, 0.1),
    ]
    operator = schema.OperatorT(
        opcodeIndex=0,
        inputs=np.array([0, 1, 2], np.int32),
        outputs=np.array([3], np.int32),
        builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
        builtinOptions=schema.FullyConnectedOptionsT(),
    )
    code = schema.BuiltinOperator.FULLY_CONNECTED
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code, version=_VERSION)],
        subgraphs=[
            schema.SubGraphT(
                tensors=tensors, inputs=np.array([0], np.int32), outputs=np.array([3], np.int32), operators=[operator]
            )
        ],
        buffers=buffers,
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _tensor(schema: Any, name: str, shape: tuple[int, ...], kind: int, buffer: int, scale: float) -> Any:
    quantization = schema.QuantizationParametersT(scale=np.array([scale], np.float32), zeroPoint=np.array([0]))
    return schema.TensorT(
        shape=np.array(shape, np.int32), type=kind, buffer=buffer, name=name, quantization=quantization
    )

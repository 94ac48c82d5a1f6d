"""Reads the operators of a .tflite, without TensorFlow and without running it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armopt.compress.tflite_file import damage_told, operator_name, read_model
from armopt.core.graph import GraphOperator


def read_operators(path: Path) -> tuple[GraphOperator, ...]:
    """The operators of the file's first subgraph, the one that an inference runs; dynamic dimensions count as 1.

    Kernels that are stored without their zeros are made dense when the file is loaded: they count as what they are
    stored as, and the operators that do it are left out.

    Raises:
        UsageError: missing or not a .tflite.
    """
    with damage_told(path):
        model = read_model(path)
        operators = model.subgraphs[0].operators or ()
        sources = _made_dense(model, operators)
        return tuple(
            _operator(model, index, operator, sources)
            for index, operator in enumerate(operators)
            if int(operator.outputs[0] if len(_numbers(operator.outputs)) else -1) not in sources
        )


def _made_dense(model: Any, operators: Any) -> dict[int, int]:
    """Tensors that a DENSIFY makes: to the one that is stored."""
    return {
        int(operator.outputs[0]): int(operator.inputs[0])
        for operator in operators
        if operator_name(model.operatorCodes[operator.opcodeIndex]) == "DENSIFY"
    }


def _operator(model: Any, index: int, operator: Any, sources: Mapping[int, int]) -> GraphOperator:
    tensors = model.subgraphs[0].tensors
    kind = operator_name(model.operatorCodes[operator.opcodeIndex])
    inputs = [sources.get(int(number), int(number)) for number in _numbers(operator.inputs) if number >= 0]
    outputs = [int(number) for number in _numbers(operator.outputs) if number >= 0]
    constant = {number: _stored(model, tensors[number]) for number in inputs}
    shapes = [_shape(tensors[number]) for number in inputs]
    output = tensors[outputs[0]] if outputs else None
    shape = _shape(output) if output is not None else ()
    name = output.name if output is not None else ""
    return GraphOperator(
        index=index,
        kind=kind,
        name=name.decode(errors="replace") if isinstance(name, bytes) else str(name or ""),
        shape=shape,
        dtype=_type_name(output.type) if output is not None else "",
        macs=_macs(kind, shapes, shape),
        input_shape=shapes[0] if shapes else (),
        weight_bytes=sum(constant.values()),
        activation=bool(getattr(operator.builtinOptions, "fusedActivationFunction", 0)),
        inputs=tuple(number for number in inputs if not constant[number]),
        outputs=tuple(outputs),
    )


def _macs(kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int | None:
    """Multiply-accumulates; layouts of the weights: schema.fbs and the operators' documentation."""
    weights = inputs[1] if len(inputs) > 1 else ()
    if kind == "CONV_2D" and len(weights) == 4:
        return math.prod(output) * math.prod(weights[1:])
    if kind == "DEPTHWISE_CONV_2D" and len(weights) == 4:
        return math.prod(output) * weights[1] * weights[2]
    if kind == "FULLY_CONNECTED" and len(weights) == 2:
        return math.prod(output) * weights[1]
    if kind == "CONV_3D" and len(weights) == 5:
        return math.prod(output) * math.prod(weights[:4])
    if kind == "TRANSPOSE_CONV" and len(inputs) > 2 and len(inputs[2]) == 4:
        return math.prod(inputs[2]) * math.prod(weights[:3])
    if kind == "BATCH_MATMUL" and inputs and inputs[0]:
        return math.prod(output) * inputs[0][-1]
    return None


def _stored(model: Any, tensor: Any) -> int:
    data = model.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(max(1, int(size)) for size in _numbers(tensor.shape))


def _numbers(values: Any) -> Any:
    return () if values is None else values


def _type_name(code: int) -> str:
    from ai_edge_litert.schema_py_generated import TensorType

    names: dict[int, str] = {value: name for name, value in vars(TensorType).items() if isinstance(value, int)}
    return names.get(code, "").lower()

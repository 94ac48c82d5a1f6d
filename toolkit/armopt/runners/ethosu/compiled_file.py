"""Reads what Vela put into a compiled .tflite."""

from __future__ import annotations

# The custom operator's name, and the place among its inputs of weights, scales and biases: after the command stream,
# before scratch memory and the model's own tensors (ethosu/vela/npu_serialisation.py).
_OPERATOR, _CONSTANTS = b"ethos-u", 1


def constant_bytes(model: bytes) -> int:
    """Bytes of weights, scales and biases for the NPU; operators share them, so each is counted once."""
    from ai_edge_litert import schema_py_generated as schema

    read = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    buffers = {
        graph.tensors[operator.inputs[_CONSTANTS]].buffer
        for graph in read.subgraphs
        for operator in graph.operators or ()
        if read.operatorCodes[operator.opcodeIndex].customCode == _OPERATOR
    }
    return sum(len(read.buffers[number].data) for number in buffers if read.buffers[number].data is not None)

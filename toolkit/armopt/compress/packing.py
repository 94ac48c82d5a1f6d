"""Lays a .tflite out anew so that it compresses better: the same tables and numbers, in another order.

A flatbuffer may hold its vectors anywhere and point to one vector from many places. The converter writes a zero point
of eight zero bytes for every channel of every tensor, and kernels, biases and scales in turns. Here equal vectors are
written once, and vectors of a kind stand together, so that a compressor's code fits what follows: a tenth of a small
network's file, 2 to 3% of its gzip (docs/results.md). Nothing that is computed changes.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from armopt.compress.data import Array

_IDENTIFIER = b"TFL3"
# The schema asks for this of buffers (`force_align: 16`), which the generated packer does not know.
_BUFFER_ALIGNMENT = 16
# And this of the indices of sparse tensors, 16 bits wide ones too.
_INDEX_ALIGNMENT = 4


def packed(content: bytes) -> bytes:
    """The same model with equal vectors shared and alike vectors together; `content` itself where that is not sure.

    Args:
        content: a .tflite.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    try:
        made = _pack(model, len(content))
    except (TypeError, ValueError, AttributeError, KeyError, flatbuffers.builder.BuilderSizeError):
        return content  # the generated packer does not write all that the converter may: the file is good as it is
    again = schema.ModelT.InitFromObj(schema.Model.GetRootAs(made, 0))
    return made if len(made) <= len(content) and _same(model, again) else content


def _pack(model: Any, size: int) -> bytes:
    builder = _SharingBuilder(size)
    # A flatbuffer is written from its end: what is written first comes last in the file.
    for vector in reversed(_vectors(model)):
        builder.CreateNumpyVector(vector)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """Writes each vector of numbers once; equal ones get the same offset."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Any) -> int:
        """As in the base class, at an alignment that suits a buffer."""
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            alignment = _BUFFER_ALIGNMENT if x.dtype.itemsize == 1 else max(_INDEX_ALIGNMENT, x.dtype.itemsize)
            self.StartVector(x.itemsize, x.size, alignment)
            self.head -= len(key[1])
            self.Bytes[self.head : self.head + len(key[1])] = key[1]
            self.vectorNumElems = x.size
            self._written[key] = int(self.EndVector())
        return self._written[key]


def _vectors(model: Any) -> list[Array]:
    """Vectors of constants and scales in the order in which they should stand: each kind of tensor by itself."""
    placed: list[tuple[tuple[bool, int, bool], Array]] = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data, quantization = model.buffers[tensor.buffer].data, tensor.quantization
            # A first axis of 1 is a depthwise kernel: rarely pruned, so its codes have a distribution of their own.
            flat = tensor.shape is not None and len(tensor.shape) > 1 and tensor.shape[0] == 1
            if data is not None and len(data):
                placed.append(((False, tensor.type, flat), np.asarray(data, np.uint8)))
            if quantization is not None and quantization.scale is not None and len(quantization.scale) > 1:
                placed.append(((True, tensor.type, flat), np.asarray(quantization.scale, np.float32)))
    placed.sort(key=lambda pair: pair[0])
    return [vector for _, vector in placed]


def _same(one: Any, other: Any) -> bool:
    """Equality of two trees of the generated classes, whose fields are numbers, bytes, arrays, lists, objects."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_same, one, other))
    if hasattr(one, "__dict__"):
        return type(one) is type(other) and all(_same(value, vars(other)[name]) for name, value in vars(one).items())
    return bool(one == other)

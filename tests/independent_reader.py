"""A second reader of .tflite weights, for checks of armopt's files: shares no code with its exporter or its audit.

It walks the flatbuffer by offsets (the toolkit unpacks it into objects), finds kernels by shape and order (the toolkit
by direction) and hands codes back in Keras' layout (the toolkit goes the other way).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Array = npt.NDArray[Any]

# Operator -> (which input is the kernel, the file's axes in Keras' order). Layouts: LiteRT's kernel documentation.
_KERNELS = {
    schema.BuiltinOperator.CONV_2D: (1, (1, 2, 3, 0)),  # OHWI -> HWIO
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: (1, (0, 1, 2, 3)),  # 1HW(CM), as Keras' HWCM lies in memory
    schema.BuiltinOperator.FULLY_CONNECTED: (1, (1, 0)),  # OI -> IO
    schema.BuiltinOperator.TRANSPOSE_CONV: (1, (1, 2, 0, 3)),  # OHWI -> HWOI
}


@dataclass(frozen=True, eq=False)
class StoredKernel:
    """A kernel as a .tflite stores it.

    Attributes:
        name: of the tensor.
        codes: stored int8 less the zero point, so that 0 is the real zero; axes in Keras' order, for a depthwise kernel
            (1, height, width, channels * multiplier).
        channels: the same as (output channels, weights of the channel), by the axis that has a scale each.
        scales: real value of one code, one per channel or one for all.
    """

    name: str
    codes: Array
    channels: Array
    scales: Array

    @property
    def distinct_codes(self) -> int:
        """Distinct codes in the whole tensor."""
        return len(np.unique(self.codes))

    @property
    def distinct_codes_per_channel(self) -> int:
        """The most distinct codes in one output channel."""
        return max(len(np.unique(channel)) for channel in self.channels)


def stored_kernels(path: Path | str) -> list[StoredKernel]:
    """INT8 kernels of a .tflite in the order of their operators, each tensor once."""
    content = Path(path).read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    found: dict[tuple[int, int], StoredKernel] = {}
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for position in range(graph.OperatorsLength()):
            operator = graph.Operators(position)
            code = model.OperatorCodes(operator.OpcodeIndex())
            known = _KERNELS.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
            if known is None:
                continue
            index = operator.Inputs(known[0])
            kernel = _kernel(model, graph.Tensors(index), known[1])
            if kernel is not None:
                found.setdefault((number, index), kernel)
    return list(found.values())


def _kernel(model: Any, tensor: Any, order: tuple[int, ...]) -> StoredKernel | None:
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    if isinstance(raw, int) or tensor.Type() != schema.TensorType.INT8:  # 0: no data, an activation
        return None
    codes = raw.view(np.int8).reshape(tensor.ShapeAsNumpy()).astype(np.int64)
    quantization = tensor.Quantization()
    scales, axis = quantization.ScaleAsNumpy(), quantization.QuantizedDimension()
    points = quantization.ZeroPointAsNumpy()
    along = [1] * codes.ndim
    along[axis] = -1
    codes = codes - (points.reshape(along) if points.size > 1 else int(points[0]))
    channels = np.moveaxis(codes, axis, 0).reshape(codes.shape[axis], -1)
    return StoredKernel(tensor.Name().decode(), codes.transpose(order), channels, scales)


def matched(path: Path | str, kernels: Mapping[str, Array]) -> dict[str, StoredKernel]:
    """The stored kernel of each Keras kernel, by shape; among equal shapes the file's order is the model's.

    Args:
        path: the .tflite.
        kernels: Keras kernels (or arrays of their shape, such as masks) by name, in the order of the model's layers.

    Raises:
        LookupError: the file has more or fewer kernels of a shape than the model.
    """
    waiting: dict[tuple[int, ...], list[StoredKernel]] = {}
    for stored in stored_kernels(path):
        waiting.setdefault(_essential(stored.codes.shape), []).append(stored)
    result = {}
    for name, kernel in kernels.items():
        shape = kernel.shape
        # Depthwise kernels lie flat in the file: their two last axes as one.
        for key in (_essential(shape), _essential((*shape[:-2], int(np.prod(shape[-2:]))))):
            if waiting.get(key):
                result[name] = waiting[key].pop(0)
                break
        else:
            raise LookupError(f"no kernel of shape {shape} for '{name}' in {path}")
    left = [stored.name for key in (_essential(k.shape) for k in kernels.values()) for stored in waiting.get(key, ())]
    if left:
        raise LookupError(f"kernels of the same shape without a layer: {left}")
    return result


def lost_zeros(path: Path | str, zeros: Mapping[str, Array]) -> dict[str, tuple[int, int]]:
    """For each kernel, how many weights were to be zero, and how many of them are not zero in the file.

    Args:
        path: the .tflite.
        zeros: bool arrays of the kernels' shapes, True where a weight was set to zero.
    """
    return {
        name: (int(mask.sum()), int((stored.codes.reshape(zeros[name].shape)[zeros[name]] != 0).sum()))
        for (name, stored), mask in zip(matched(path, zeros).items(), zeros.values(), strict=True)
    }


def _essential(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without axes of length 1: a Conv1D kernel has one more in the file."""
    return tuple(int(size) for size in shape if size != 1)

"""One sentence on what would make an operator faster on a Cortex-A. Pure.

Only what moves the time of dense kernels is named: shapes, types, the choice of operators, another core. Zeros and
clusters are not: these kernels multiply by every weight whatever its value.
"""

from __future__ import annotations

import math
import re

from armopt.core.device import BoardKind
from armopt.core.graph import GraphOperator
from armopt.core.records import Bound

_MATMULS = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL", "CONV_3D")
_NARROWER = {"FULLY_CONNECTED": "fewer units", "BATCH_MATMUL": "a shorter sequence or fewer heads"}
_MOVES = ("RESHAPE", "TRANSPOSE", "CONCATENATION", "PAD", "PADV2", "SLICE", "STRIDED_SLICE", "SPLIT", "PACK", "UNPACK")
_CHANGES_TYPE = ("QUANTIZE", "DEQUANTIZE", "CAST")
# Operators that XNNPACK lacks in 8 bits, and what it takes (seen in counts of MobileNet v2, v3 and an attention layer).
_INSTEAD = {
    "HARD_SWISH": "ReLU6 in its place is fused into the convolution before it",
    "SOFTMAX": "in float32 it is taken, and a last one can be left to the caller",
    "BATCH_MATMUL": "in float32 it is taken, and a dense layer is in INT8, too",
}
# Operators of float32 models that INT8 is a way to make faster: XNNPACK takes them in 8 bits, too.
_FASTER_IN_INT8 = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL", "MEAN", "MAX_POOL_2D")
# Where the vector pipes' limit is not the products themselves: sums as short as this (MobileNet v2's first expansions).
_FEW_PRODUCTS = 32
# Tiles of XNNPACK's kernels: 2x8c8 multiplies 8 input channels at a time.
_TILE = re.compile(r"_ukernel_\d+x\d+c(?P<channels>\d+)_")


def advice(operator: GraphOperator, bound: Bound, kernel: str, device: BoardKind, *, undelegated: bool) -> str:
    """What would make `operator` faster, without a full stop; '' where nothing is known.

    Args:
        operator: of the graph.
        bound: what limits it.
        kernel: the function that did its work.
        device: where it ran.
        undelegated: the runtime's own kernel ran although XNNPACK took other operators of the graph.
    """
    if bound == "overhead":
        return "calling it costs more than its work: fewer and larger operators"
    if undelegated:
        return f"XNNPACK does not take it in {operator.dtype or 'this type'}: {_instead(operator)}"
    if bound == "bandwidth":
        return _less_traffic(operator)
    if operator.kind in _MATMULS:
        return _less_multiplying(operator, bound, kernel, device)
    if operator.kind == "DEPTHWISE_CONV_2D":
        return "each value that is loaded meets few weights: fewer channels (a smaller expansion) or a smaller picture"
    if operator.kind in _MOVES:
        return "it only moves data: order the layers so that it is not needed"
    if operator.kind in _CHANGES_TYPE:
        return "it only changes the type: keep one type throughout, also of inputs and outputs"
    if operator.kind == "HARD_SWISH":
        return "ReLU6 in its place is fused into the convolution before it, at no time of its own"
    if operator.kind == "MUL" and operator.input_shape == operator.shape:
        return "it goes over the whole picture: squeeze-and-excite only in late layers, where pictures are small"
    return "its time follows the size of its tensors: a smaller picture or fewer channels"


def _instead(operator: GraphOperator) -> str:
    if operator.kind == "AVERAGE_POOL_2D":
        is_global = math.prod(operator.shape[:-1]) == 1
        return "a mean over height and width is taken" if is_global else "max pooling and strides are taken"
    return _INSTEAD.get(operator.kind, "an operator that it takes would be faster")


def _less_traffic(operator: GraphOperator) -> str:
    size = 4 if operator.dtype == "float32" else 1
    moved = size * (math.prod(operator.shape) + math.prod(operator.input_shape))
    in_int8 = operator.dtype == "float32" and operator.kind in _FASTER_IN_INT8
    shorter = "INT8 takes a quarter of the bytes; else " if in_int8 else ""
    if operator.weight_bytes > moved:
        narrower = _NARROWER.get(operator.kind, "fewer channels or a smaller width")
        return f"its weights come from memory at every inference: {shorter}{narrower}"
    return f"its values come from beyond the first cache: {shorter}a smaller picture or fewer channels"


def _less_multiplying(operator: GraphOperator, bound: Bound, kernel: str, device: BoardKind) -> str:
    channels = operator.input_shape[-1] if operator.input_shape else 0
    narrower = _NARROWER.get(operator.kind, "fewer channels or a smaller picture")
    tile = _TILE.search(kernel)
    if operator.kind == "CONV_2D" and tile and 0 < channels <= int(tile["channels"]) // 2:
        filled = f"{channels} input channel{' fills' if channels == 1 else 's fill'} {channels} of the kernel's"
        return f"{filled} {tile['channels']} places: fewer filters, a larger stride, or space-to-depth before it"
    has_dot = "asimddp" in device.cpu.features
    if operator.dtype == "float32" and operator.kind in _FASTER_IN_INT8:
        won = "multiplies four codes for one float here" if has_dot else "has a quarter of the bytes"
        return f"INT8 {won}; else {narrower}"
    products = (operator.macs or 0) // max(1, math.prod(operator.shape))
    if bound == "vector" and 0 < products <= _FEW_PRODUCTS:
        return (
            f"only {products} products go into a value, so rounding it to INT8 costs as much: fewer output channels (a "
            "smaller expansion) or a smaller picture"
        )
    if bound == "multiply" and operator.dtype != "float32" and not has_dot:
        return f"{narrower}, or a core with dot product (Cortex-A55, A75 and later)"
    return narrower

"""What a function's name tells of the operator that it computes.

XNNPACK names kernels after what they do (`xnn_qs8_qc8w_igemm_minmax_fp32_ukernel_2x8c8__...`), the runtime after its
operators (`tflite::optimized_ops::HardSwish`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# In this order: 'dwconv' is no 'conv'.
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("depthwise", r"_dwconv|[Dd]epthwise"),
    ("pack", r"_packw_|_pack_lh|_packq_"),
    ("matmul", r"_i?gemm_|_conv_hwc|_spmm_|^ruy::|cpu_backend_gemm|MatrixBatchVector|::ConvPerChannel"
     r"|::Conv$|::FullyConnected|::BatchMatMul"),
    ("softmax", r"raddstoreexp|[Ss]oftmax"),
    ("sum", r"_r?d?sum2?_|::Mean|::Reduce"),
    ("product", r"EvalProd"),
    ("average", r"_avgpool_|AveragePool"),
    ("maximum_pool", r"_maxpool_|MaxPool"),
    ("resize", r"_ibilinear_|::Resize(Bilinear|Nearest)"),
    ("table", r"_x8_lut_|LookupTable"),
    ("copy", r"_xx_(copy|pad|fill|transpose)|_transposec_|builtin::(reshape|strided_slice|fill)::"
     r"|::(Concatenation|Transpose|Pad)|VectorOfTensors"),
    ("prelu", r"_vr?preluc?_|_vlrelu_|LeakyRelu|Prelu"),
    ("clamp", r"_vclamp_|::Relu|QuantizedRelu"),
    ("convert", r"_vcvt_|builtin::(de)?quantize::|::(Dequantize|AffineQuantize|Requantize)"),
    ("hard_swish", r"_vhswish_|HardSwish"),
    ("add", r"_vaddc?_|::Add[A-Z]|builtin::add::"),
    ("subtract", r"_vr?subc?_|::Sub[A-Z]|builtin::sub::"),
    ("multiply", r"_vmulc?_|::Mul([A-Z]|$)|builtin::mul::"),
    ("divide", r"_vr?divc?_"),
    ("maximum", r"_vmaxc?_"),
    ("minimum", r"_vminc?_"),
    ("squared_difference", r"_vsqrdiffc?_"),
    ("sigmoid", r"_vsigmoid_|SigmoidEval|::Logistic"),
    ("tanh", r"_vtanh_|TanhEval"),
    ("elu", r"_velu_"),
    ("gelu", r"_v(approx)?gelu_"),
)  # fmt: skip
_COMPILED = tuple((family, re.compile(pattern)) for family, pattern in _FAMILIES)

# Functions that all operators go through: the interpreter's loop, the delegate's loop, threads, what has no name.
_GENERIC = re.compile(
    r"$|tflite::Subgraph::|tflite::ArenaPlanner|tflite::Get|tflite::RuntimeShape|tflite::MultiplyByQuantized"
    r"|tflite::xnnpack::|xnn_invoke_runtime|xnn_run_operator|xnn_compute_|pthreadpool_|pybind11::"
)
DELEGATE_CALL = re.compile(r"tflite::xnnpack::.*SubgraphInvoke")

_MATMUL, _COPY = ("matmul",), ("copy",)
_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL", "CONV_3D"), _MATMUL),
    "DEPTHWISE_CONV_2D": ("depthwise",),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CONCATENATION", "SPLIT", "SPLIT_V", "SLICE"), _COPY),
    **dict.fromkeys(("STRIDED_SLICE", "PAD", "PADV2", "TRANSPOSE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), _COPY),
    **dict.fromkeys(("PACK", "UNPACK", "TILE", "BROADCAST_TO", "MIRROR_PAD", "GATHER", "FILL"), _COPY),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), ("clamp",)),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "CAST"), ("convert",)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), ("resize",)),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), ("sum", "average")),
    **dict.fromkeys(("PRELU", "LEAKY_RELU"), ("prelu",)),
    "AVERAGE_POOL_2D": ("average", "sum"),
    "MAX_POOL_2D": ("maximum_pool",),
    "SOFTMAX": ("softmax",),
    "HARD_SWISH": ("hard_swish", "table"),
    "LOGISTIC": ("sigmoid", "table"),
    "TANH": ("tanh", "table"),
    "ELU": ("elu", "table"),
    "GELU": ("gelu", "table"),
    "ADD": ("add",),
    "SUB": ("subtract",),
    "MUL": ("multiply",),
    "DIV": ("divide",),
    "MAXIMUM": ("maximum",),
    "MINIMUM": ("minimum",),
    "REDUCE_PROD": ("product",),
    "SQUARED_DIFFERENCE": ("squared_difference",),
}
# Letters of an operator's name that are no accident in a function's; 'mul' is also in 'BatchMatMul'.
_TELLING = 5
# A depthwise convolution of one input channel is run as an ordinary one, and the other way round.
_INSTEAD = {"DEPTHWISE_CONV_2D": "matmul", "CONV_2D": "depthwise"}
# What a runtime may leave out: it renames a tensor, was done at load, or became part of a neighbour.
DROPPABLE = frozenset(
    kind for kind, families in _KINDS.items() if families in (_COPY, ("clamp",), ("convert",)) or kind == "CAST"
)


def is_generic(function: str) -> bool:
    """Whether a function says nothing of the operator: loops of the runtime, and what no symbol names."""
    return bool(_GENERIC.match(function))


def family(functions: Sequence[str]) -> str:
    """What a segment computes, from its functions, busiest first.

    'none' where only generic functions ran, 'other' where a name says nothing that is known here.
    """
    named = [function for function in functions if not is_generic(function)]
    for function in named:
        for found, pattern in _COMPILED:
            if pattern.search(function):
                return found
    return "other" if named else "none"


def fit(kind: str, found: str, functions: Sequence[str]) -> float:
    """How well functions of family `found` suit an operator, 0 (they can't be its work) to 1 (they are)."""
    families = _KINDS.get(kind, ())
    if found in families:
        return 1.0
    word = kind.lower().removesuffix("_2d").replace("_", "")
    if len(word) >= _TELLING and any(word in function.lower().replace("_", "") for function in functions):
        return 1.0
    if _INSTEAD.get(kind) == found:
        return 0.5
    if found == "none":
        return 0.4 if families == _COPY or not families else 0.0  # a copy is the C library's memcpy
    if found == "other" or not families:
        return 0.3
    return 0.0


def assists(kind: str, found: str, activation: bool, *, before: bool) -> bool:
    """Whether a segment of family `found` may be a side work of an operator, before or after its own kernel."""
    if before:
        return found in ("none", "pack", "copy", "convert") and _KINDS.get(kind) == _MATMUL
    if found == "clamp":
        return activation
    return found in ("none", "copy") and _KINDS.get(kind, _COPY) == _COPY

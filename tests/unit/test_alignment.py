from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.core.graph import GraphOperator
from armopt.latency.alignment import Segment, align
from armopt.latency.kernel_names import family, fit
from armopt.latency.run_order import run_order

CONV = "xnn_qs8_qc8w_igemm_minmax_fp32_ukernel_2x8c8__asm_aarch64_neon_mlal_prfm"
GEMM = "xnn_f32_gemm_minmax_ukernel_4x8__asm_aarch64_neonfma_cortex_a75_prfm"
DEPTHWISE = "xnn_f32_dwconv_minmax_ukernel_9p8c__neonfma"
ADD, CLAMP = "xnn_qs8_vadd_minmax_ukernel__neon_ld64_u32", "xnn_s8_vclamp_ukernel__neon_u64"
CONVERT = "xnn_f32_qs8_vcvt_ukernel__neonv8_u32"
SWISH, POOL = "tflite::optimized_ops::HardSwish", "tflite::optimized_integer_ops::AveragePool"
SOFTMAX = "tflite::optimized_ops::SoftmaxInt8LUT"
NOTHING = "xnn_invoke_runtime"
CALL = "tflite::xnnpack::(anonymous)::SubgraphInvoke"

CALLER = Segment("", ("",), "none")
PREPARING = Segment("runtime", ("tflite::Subgraph::InvokeImpl",), "none")
DELEGATE = Segment("runtime", (CALL, "", NOTHING), "none")


def ran(*functions: str) -> list[Segment]:
    """Segments of one function each: XNNPACK's by their names, the runtime's own else."""
    return [Segment("xnnpack" if name.startswith("xnn") else "runtime", (name,), family([name])) for name in functions]


def graph(*kinds: str, activation: bool = False) -> list[GraphOperator]:
    """A chain of operators."""
    return [
        GraphOperator(index, kind, inputs=(index,), outputs=(index + 1,), activation=activation)
        for index, kind in enumerate(kinds)
    ]


def test_one_segment_an_operator_is_taken_as_it_comes() -> None:
    segments = [CALLER, PREPARING, DELEGATE, *ran(CONV, DEPTHWISE, GEMM, ADD)]
    assert align(graph("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD"), segments) == [None, None, None, 0, 1, 2, 3]


def test_an_operator_that_was_dropped_takes_nothing_of_its_neighbours() -> None:
    operators = graph("CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX")
    assert align(operators, [CALLER, DELEGATE, *ran(CONV, GEMM, SOFTMAX)]) == [None, None, 0, 2, 3]


def test_an_operator_that_was_fused_is_found_by_what_is_left() -> None:
    operators = graph("PAD", "CONV_2D", "RELU6", "DEPTHWISE_CONV_2D", "RELU6", "CONV_2D")
    assert align(operators, [CALLER, *ran(CONV, DEPTHWISE, GEMM)]) == [None, 1, 3, 5]


def test_a_clamp_belongs_to_the_operator_whose_activation_it_is() -> None:
    operators = graph("CONV_2D", "ADD", "CONV_2D", activation=True)
    assert align(operators, [CALLER, *ran(CONV, ADD, CLAMP, CONV)]) == [None, 0, 1, 1, 2]


def test_a_conversion_ahead_of_a_matrix_product_belongs_to_it() -> None:
    operators = graph("CONV_2D", "CONV_2D", "FULLY_CONNECTED")
    assert align(operators, [CALLER, *ran(CONVERT, CONV, CONVERT, CONV, NOTHING, GEMM)]) == [None, 0, 0, 1, 1, 2, 2]


def test_a_copy_of_nothing_is_the_reshape() -> None:
    assert align(graph("CONV_2D", "RESHAPE", "SOFTMAX"), [CALLER, *ran(CONV, NOTHING, SOFTMAX)]) == [None, 0, 1, 2]


def test_calls_of_the_delegate_between_partitions_are_nobodys() -> None:
    operators = graph("CONV_2D", "HARD_SWISH", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "CONV_2D")
    conv, swish, depthwise, pool, gemm = ran(CONV, SWISH, DEPTHWISE, POOL, GEMM)
    segments = [CALLER, PREPARING, DELEGATE, conv, swish, DELEGATE, depthwise, pool, DELEGATE, gemm]
    assert align(operators, segments) == [None, None, None, 0, 1, None, 2, 3, None, 4]


def test_a_delegate_that_runs_a_later_branch_first_is_followed() -> None:
    # 1 is the runtime's own, 2 needs it, 3 does not: so the delegate runs 0 and 3 in its first part.
    operators = [
        GraphOperator(0, "CONV_2D", inputs=(0,), outputs=(1,)),
        GraphOperator(1, "HARD_SWISH", inputs=(1,), outputs=(2,)),
        GraphOperator(2, "DEPTHWISE_CONV_2D", inputs=(2,), outputs=(3,)),
        GraphOperator(3, "SOFTMAX", inputs=(1,), outputs=(4,)),
        GraphOperator(4, "ADD", inputs=(3, 4), outputs=(5,)),
    ]
    softmax = Segment("xnnpack", ("xnn_f32_raddstoreexpminusmax_ukernel__neonfma",), "softmax")
    conv, swish, depthwise, add = ran(CONV, SWISH, DEPTHWISE, ADD)
    assert run_order(operators, {0, 2, 3, 4}) == [0, 3, 1, 2, 4]
    segments = [CALLER, DELEGATE, conv, softmax, swish, DELEGATE, depthwise, add]
    assert align(operators, segments) == [None, None, 0, 3, 1, None, 2, 4]


def test_work_that_suits_no_operator_is_nobodys() -> None:
    assert align(graph("CONV_2D", "CONV_2D"), [CALLER, *ran(CONV, SOFTMAX, CONV)]) == [None, 0, None, 1]


def test_an_operator_that_is_not_known_here_takes_the_segment_in_its_place() -> None:
    segments = [CALLER, *ran(CONV, "tflite::ops::custom::Surprise", GEMM)]
    assert align(graph("CONV_2D", "CUSTOM", "CONV_2D"), segments) == [None, 0, 1, 2]


def test_a_graph_of_no_operators_and_a_run_of_none_are_no_trouble() -> None:
    assert align([], [CALLER, *ran(CONV)]) == [None, None]
    assert align(graph("CONV_2D"), [CALLER]) == [None]
    assert align([], []) == []


KERNEL = {"CONV_2D": CONV, "DEPTHWISE_CONV_2D": DEPTHWISE, "ADD": ADD, "SOFTMAX": SOFTMAX, "HARD_SWISH": SWISH}
kinds = st.lists(st.sampled_from(sorted(KERNEL)), max_size=25)


@given(kinds, st.data())
def test_whatever_is_dropped_each_segment_goes_to_an_operator_of_its_kind(
    every: list[str], data: st.DataObject
) -> None:
    kept = [data.draw(st.booleans()) for _ in every]
    segments = [CALLER, *ran(*(KERNEL[kind] for kind, keep in zip(every, kept, strict=True) if keep))]
    owners = align(graph(*every), segments)[1:]
    assert len(owners) == sum(kept)
    for owner, segment in zip(owners, segments[1:], strict=True):
        assert owner is not None
        assert fit(every[owner], segment.family, segment.functions) == 1
    assert len(set(owners)) == len(owners)


@given(kinds)
def test_without_a_delegate_the_order_is_the_files(every: list[str]) -> None:
    assert run_order(graph(*every), set()) == list(range(len(every)))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (CONV, "matmul"),
        (DEPTHWISE, "depthwise"),
        ("tflite::optimized_ops::depthwise_conv::DepthwiseConvGeneral", "depthwise"),
        ("ruy::Kernel8bitNeon", "matmul"),
        ("xnn_qs8_vaddc_minmax_ukernel__neon_ld64_u32", "add"),
        ("xnn_qs8_rdsum_ukernel_7p7x__neon_u32", "sum"),
        ("tflite::ops::builtin::reshape::Eval", "copy"),
        ("tflite::Subgraph::InvokeImpl", "none"),
        ("", "none"),
        ("tflite::reference_ops::Surprise", "other"),
    ],
)
def test_a_function_tells_what_it_computes(function: str, expected: str) -> None:
    assert family([function]) == expected


def test_an_operators_name_in_a_function_decides_but_not_by_accident() -> None:
    assert fit("SPACE_TO_BATCH_ND", "other", ("tflite::reference_ops::SpaceToBatchND",)) == 1
    assert fit("MUL", "matmul", ("tflite::reference_ops::BatchMatMul",)) == 0
    assert np.isclose(fit("DEPTHWISE_CONV_2D", "matmul", (CONV,)), 0.5)

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.catalog.devices import find_device
from armopt.core.counts import Counts, Start
from armopt.core.graph import GraphOperator
from armopt.core.operator_times import changes_by_kind, time_by_kind
from armopt.core.records import OperatorTime
from armopt.latency.advice import advice
from armopt.latency.bounds import Bounds
from armopt.latency.model import Parts, predict
from armopt.latency.operators import operator_times

PI4, PI5 = find_device("pi4"), find_device("pi5")
CONV = "xnn_qs8_qc8w_igemm_minmax_fp32_ukernel_2x8c8__asm_aarch64_neon_mlal_prfm"
DEPTHWISE = "xnn_qs8_qc8w_dwconv_minmax_fp32_ukernel_9p16c__neonv8_mla8_ld64"
SWISH = "tflite::optimized_ops::HardSwish"
LOOP, CALL = "tflite::Subgraph::InvokeImpl", "tflite::xnnpack::(anonymous)::SubgraphInvoke"

# One instruction word of each class that these tests use.
WORDS = {
    "int_mac_long": 0x0E228020, "load_vector_128": 0x3DC00020, "integer": 0x8B020020, "permute": 0x4E023820,
    "vector_alu": 0x4E228420, "branch": 0xD65F03C0,
}  # fmt: skip


def block(**instructions: int) -> bytes:
    return b"".join(WORDS[name].to_bytes(4, "little") * number for name, number in instructions.items())


MULTIPLYING, LOADING = block(int_mac_long=16, load_vector_128=4), block(load_vector_128=16, int_mac_long=4)
MIXED = block(integer=6, load_vector_128=4, vector_alu=4, branch=1)
PERMUTING, ADDING, COUNTING = block(permute=16), block(vector_alu=16), block(integer=8, branch=1)


def counted(*segments: tuple[Start, dict[tuple[bytes, str], int]], lines: dict[int, int] | None = None) -> Counts:
    """Counts of segments, each a start and how often which block of which function ran; `lines` from memory."""
    columns = list(dict.fromkeys(key for _, work in segments for key in work))
    executions = np.array([[work.get(key, 0) for key in columns] for _, work in segments], np.int64)
    traffic = np.zeros((len(segments), 2, 2), np.int64)
    for segment, number in (lines or {}).items():
        traffic[segment, 1, 0] = number
    moved = np.zeros((len(segments), 2), np.int64)
    names = tuple(function for _, function in columns)
    return Counts(
        tuple(words for words, _ in columns), names, tuple(start for start, _ in segments), executions, moved, traffic
    )


GRAPH = (
    GraphOperator(0, "CONV_2D", "a", (1, 8, 8, 16), "int8", 1000, (1, 8, 8, 32), 4096, True, (0,), (1,)),
    GraphOperator(1, "HARD_SWISH", "b", (1, 8, 8, 16), "int8", None, (1, 8, 8, 16), 0, False, (1,), (2,)),
    GraphOperator(2, "DEPTHWISE_CONV_2D", "c", (1, 8, 8, 16), "int8", 900, (1, 8, 8, 16), 144, True, (2,), (3,)),
    GraphOperator(3, "RESHAPE", "d", (1, 1024), "int8", None, (1, 8, 8, 16), 0, False, (3,), (4,)),
)
RUN = counted(
    ("", {(COUNTING, ""): 100}),
    ("runtime", {(COUNTING, LOOP): 50}),
    ("runtime", {(COUNTING, CALL): 10}),
    ("xnnpack", {(MULTIPLYING, CONV): 9000, (COUNTING, "xnn_run_operator_with_index"): 5}),
    ("runtime", {(ADDING, SWISH): 3000}),
    ("runtime", {(COUNTING, CALL): 10}),
    ("xnnpack", {(LOADING, DEPTHWISE): 4000}),
    lines={3: 200, 4: 10},
)


def rows_of(counts: Counts, graph: tuple[GraphOperator, ...] = GRAPH) -> dict[str, OperatorTime]:
    return {row.kind: row for row in operator_times(counts, predict(counts, PI4).parts, graph, PI4)}


def test_every_operator_has_its_row_and_the_runtime_the_last() -> None:
    rows = operator_times(RUN, predict(RUN, PI4).parts, GRAPH, PI4)
    assert [(row.index, row.kind, row.kernel, row.run_by) for row in rows] == [
        (0, "CONV_2D", CONV, "xnnpack"),
        (1, "HARD_SWISH", SWISH, "runtime"),
        (2, "DEPTHWISE_CONV_2D", DEPTHWISE, "xnnpack"),
        (3, "RESHAPE", None, None),
        (None, "runtime", None, None),
    ]
    assert [row.bound for row in rows] == ["multiply", "vector", "load", None, "overhead"]


def test_the_rows_add_up_to_the_whole_in_each_part() -> None:
    prediction = predict(RUN, PI4)
    rows = operator_times(RUN, prediction.parts, GRAPH, PI4)
    assert sum(row.latency_ms for row in rows) == pytest.approx(prediction.p50_ms)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.instructions for row in rows) == RUN.instructions
    for part in ("core", "cache", "memory", "overhead"):
        assert sum(getattr(row, f"{part}_ms") for row in rows) == pytest.approx(getattr(prediction.parts, part).sum())


@given(st.lists(st.sampled_from([CONV, DEPTHWISE, SWISH, LOOP, "", "tflite::Surprise"]), max_size=12))
def test_they_add_up_whatever_ran(functions: list[str]) -> None:
    counts = counted(
        ("", {(COUNTING, ""): 7}), *[("runtime", {(ADDING, name): 1 + n}) for n, name in enumerate(functions)]
    )
    prediction = predict(counts, PI4)
    rows = operator_times(counts, prediction.parts, GRAPH, PI4)
    assert sum(row.latency_ms for row in rows) == pytest.approx(prediction.p50_ms)
    assert len(rows) == len(GRAPH) + 1


def test_the_kernel_is_the_one_that_the_operator_is_there_for() -> None:
    add, clamp = "xnn_f32_vadd_ukernel__neon_u8", "xnn_f32_vclamp_ukernel__neon_u16"
    counts = counted(("", {}), ("xnnpack", {(ADDING, add): 300}), ("xnnpack", {(ADDING, clamp): 500}))
    row, _ = operator_times(counts, predict(counts, PI4).parts, [GraphOperator(0, "ADD", activation=True)], PI4)
    assert row.kernel == add and row.instructions == 800 * 16


def test_a_row_says_what_a_reader_of_json_needs() -> None:
    row = json.loads(rows_of(RUN)["CONV_2D"].model_dump_json())
    assert row["shape"] == [1, 8, 8, 16] and row["macs"] == 1000 and row["name"] == "a"
    assert next(iter(row["instruction_classes"])) == "int_mac_long"
    assert row["core_ms"] > 0 and row["memory_ms"] > 0


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (MULTIPLYING, "multiply"),
        (LOADING, "load"),
        (PERMUTING, "permute"),
        (ADDING, "vector"),
        (COUNTING, "scalar"),
        (MIXED, "issue"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_busiest_unit_bounds_a_kernel(work: bytes, expected: str) -> None:
    bounds = Bounds(counted(("runtime", {(work, SWISH): 5000})), PI4.core)
    assert bounds.of([0], core_ms=1, waiting_ms=0.5, overhead_ms=0) == expected


def test_waiting_for_data_longer_than_computing_is_bandwidth() -> None:
    bounds = Bounds(counted(("runtime", {(MULTIPLYING, SWISH): 5000})), PI4.core)
    assert bounds.of([0], core_ms=1, waiting_ms=1.1, overhead_ms=0) == "bandwidth"
    assert bounds.of([0], core_ms=1, waiting_ms=1.1, overhead_ms=3) == "overhead"


def test_a_kernel_with_few_of_the_instructions_is_overhead() -> None:
    small = counted(("xnnpack", {(MULTIPLYING, CONV): 2, (COUNTING, LOOP): 20}))
    assert Bounds(small, PI4.core).of([0], core_ms=1, waiting_ms=0, overhead_ms=0) == "overhead"
    large = counted(("xnnpack", {(PERMUTING, ""): 20_000}))  # the C library copies: no name, but no overhead
    assert Bounds(large, PI4.core).of([0], core_ms=1, waiting_ms=0, overhead_ms=0) == "permute"


def test_what_the_delegate_left_is_told_so_and_what_to_put_there() -> None:
    assert "XNNPACK does not take it in int8: ReLU6" in rows_of(RUN)["HARD_SWISH"].advice
    own = counted(("", {(COUNTING, ""): 9}), ("runtime", {(ADDING, SWISH): 3000}))
    assert "does not take" not in rows_of(own)["HARD_SWISH"].advice


def test_only_a_pooling_over_the_whole_picture_is_a_mean() -> None:
    whole, part = (GraphOperator(0, "AVERAGE_POOL_2D", "", (1, n, n, 8), "int8", None, (1, 8, 8, 8)) for n in (1, 4))
    assert "a mean" in advice(whole, "vector", "", PI4, undelegated=True)
    assert "a mean" not in advice(part, "vector", "", PI4, undelegated=True)


def test_int8_is_not_advised_where_it_would_be_slower() -> None:
    # XNNPACK takes no batched product in 8 bits, and the runtime's own is a plain loop.
    product = GraphOperator(0, "BATCH_MATMUL", "", (1, 2, 64, 64), "float32", 10**6, (1, 2, 64, 8))
    for bound in ("multiply", "bandwidth"):
        told = advice(product, bound, "xnn_f32_gemm_minmax_ukernel_4x8__neonfma", PI4, undelegated=False)  # type: ignore[arg-type]
        assert told and "INT8" not in told


def test_advice_fits_the_core() -> None:
    operator = GRAPH[0]
    assert "a core with dot product" in advice(operator, "multiply", CONV, PI4, undelegated=False)
    assert "dot product" not in advice(operator, "multiply", CONV, PI5, undelegated=False)


def test_a_first_convolution_is_told_how_little_of_the_kernel_it_fills() -> None:
    first = GraphOperator(0, "CONV_2D", "", (1, 8, 8, 16), "int8", 1000, (1, 16, 16, 3))
    assert "3 input channels fill 3 of the kernel's 8 places" in advice(first, "multiply", CONV, PI4, undelegated=False)


def test_weights_that_stream_from_memory_are_told_apart_from_values_that_do() -> None:
    dense = GraphOperator(0, "FULLY_CONNECTED", "", (1, 1000), "float32", 10**6, (1, 1000), 4 * 10**6)
    picture = GraphOperator(0, "ADD", "", (1, 112, 112, 64), "int8", None, (1, 112, 112, 64))
    told = advice(dense, "bandwidth", "xnn_f32_gemm", PI4, undelegated=False)
    assert "its weights come from memory" in told and "INT8" in told and "fewer units" in told
    told = advice(picture, "bandwidth", "xnn_qs8_vadd", PI4, undelegated=False)
    assert "its values" in told and "INT8" not in told


KINDS = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL", "HARD_SWISH", "SOFTMAX", "RESHAPE", "CUSTOM"]
BOUNDS = ["multiply", "load", "store", "permute", "vector", "issue", "scalar", "bandwidth", "overhead"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_no_advice_promises_time_from_zeros_or_clusters(kind: str, bound: str, dtype: str) -> None:
    operator = GraphOperator(0, kind, "", (1, 4, 4, 8), dtype, 100, (1, 4, 4, 8), 64)
    for undelegated in (True, False):
        told = advice(operator, bound, CONV, PI4, undelegated=undelegated)  # type: ignore[arg-type]
        assert told and not any(word in told for word in ("zero", "prun", "cluster", "spars"))


def test_kinds_are_summed_and_compared() -> None:
    before = operator_times(RUN, predict(RUN, PI4).parts, GRAPH, PI4)
    by_kind = {each.kind: each for each in time_by_kind(before)}
    assert by_kind["RESHAPE"].runs == 0 and by_kind["CONV_2D"].runs == 1
    half = Parts(*(getattr(predict(RUN, PI4).parts, name) / 2 for name in ("core", "cache", "memory", "overhead")))
    after = operator_times(RUN, half, GRAPH, PI4)[1:]
    changes = {change.kind: change for change in changes_by_kind(before, after)}
    assert changes["CONV_2D"].after.runs == 0
    assert changes["CONV_2D"].difference_ms == pytest.approx(-by_kind["CONV_2D"].latency_ms)
    assert changes["HARD_SWISH"].difference_ms == pytest.approx(-by_kind["HARD_SWISH"].latency_ms / 2)

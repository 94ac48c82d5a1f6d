from __future__ import annotations

import io

import pytest
from npu_figures import KIND, estimate, measured, operation
from rich.console import Console

from armopt.core.gate import Judgement
from armopt.core.graph import GraphOperator
from armopt.core.records import Accuracy, Latency, Node, Result
from armopt.latency.npu_bounds import npu_layers
from armopt.show import figures
from armopt.show.devices import npus_table
from armopt.show.npu import chosen_lines, layer_lines, layer_table, nodes_table, npu_lines, npu_table
from armopt.show.result import result_table, verdict_lines

HOSTILE = "\x1b]0;owned\x07\x1b[31mred"
NO_LIMITS = Judgement(verdict=None, checks=())


def shown(*things: object, width: int = 120) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(*things, sep="\n")
    return stream.getvalue()


def test_a_models_figures_are_told_and_that_its_error_is_not_known() -> None:
    found = measured(cycles_by_unit={"npu": 400_000, "flash": 450_000, "dram": 0}, advice="reading weights binds")
    text = shown(npu_table(found), *npu_lines(found, NO_LIMITS))
    assert "1 ms (estimated by the compiler, error not known)" in text
    assert "500,000; at work: NPU 400,000, flash 450,000" in text
    assert "40,000 bytes encoded of 50,000 (80%)" in text
    assert "SRAM 100,000 B, flash 60,000 B" in text and "DRAM" not in text
    assert "weights 75%, multiplying 25%" in text and "reading weights binds" in text


def test_what_the_cpu_runs_is_named_and_no_latency_is_told() -> None:
    text = shown(npu_table(measured(fallback_ops=("SIN", "SIN"))))
    assert "not known; the NPU's part: 1 ms" in text and "2 SIN: not estimated" in text
    nothing = shown(npu_table(measured(cycles=0, fallback_ops=("SIN",), bound=None, bound_shares={})))
    assert "the NPU does nothing" in nothing


def test_operators_are_listed_slowest_first_with_what_the_cpu_runs_before_them() -> None:
    graph = [GraphOperator(index, f"KIND_{index}{HOSTILE}", name=f"t{index}") for index in range(4)]
    parts = [operation(source=index, cycles=100 + index, mac_cycles=60) for index in range(3)]
    layers = npu_layers([*parts, operation(source=3, operation="Passthrough", cycles=0)], graph, 128, {})
    text = shown(layer_table(layers, 2), *layer_lines(layers, 2))
    assert "\x1b" not in text
    rows = text.splitlines()
    assert "KIND_3" in rows[2] and "on the CPU" in rows[2] and "KIND_2" in rows[3]
    assert "2 more" in text and "303" in text
    assert "#3: the Cortex-M runs it" in text and "#2: more zeros" in text and "#1:" not in text


@pytest.mark.parametrize("width", [80, 160])
def test_a_runs_leaves_are_compared_with_the_first(result: Result, width: int) -> None:
    def leaf(path: str, **figures: object) -> Node:
        npu = estimate(**figures)
        known = not npu.fallback_ops
        return Node(
            path=path, status="built", npu=npu, accuracy=Accuracy(int8=0.9123), evidence="estimated",
            latency_ms=Latency(p50=npu.npu_ms) if known else None,
            interval_ms=(npu.npu_ms, npu.npu_ms) if known else None,
        )  # fmt: skip

    nodes = (
        Node(path="float", status="built"),
        leaf("ptq"),
        leaf("prune/ptq", cycles=250_000, encoded_weight_bytes=10_000),
        leaf("dynamic", cycles=10, fallback_ops=("CONV_2D",)),
    )
    layers = npu_layers([operation()], [GraphOperator(0, "CONV_2D", name="out")], 128, {})
    chosen = measured(cycles=250_000, advice="reading weights binds").model_copy(update={"npu_layers": layers})
    run = result.model_copy(
        update={
            "nodes": nodes, "chosen": "prune/ptq", "runner": "vela", "evidence": "estimated",
            "measurements": {"prune/ptq": chosen},
        }
    )  # fmt: skip
    text = shown(nodes_table(run), *chosen_lines(run), width=160)
    assert "0.5 ms (-50%)" in text and "10.0 kB (-75%)" in text and "0.9123" in text
    assert "not known" in text and "on the CPU: CONV_2D" in text
    assert "'prune/ptq': reading weights binds" in text and "up to 40% of it" in text
    table = shown(result_table(run), *verdict_lines(run), width=width)
    assert "0.5 ms" in table and "to 0.5" not in table  # a figure without an error is no interval
    assert "model_vela.tflite, model.h and result.json are beside it" in " ".join(table.split())


def test_npus_are_listed_with_their_systems_small_ones_first() -> None:
    small = KIND.npu.model_copy(update={"macs": 32, "accelerator": "ethos-u55-32"})
    text = shown(npus_table([KIND, KIND.model_copy(update={"name": "small-npu", "npu": small})]))
    assert text.index("small-npu") < text.index("some-npu")
    assert "Ethos_U55_High_End_Embedded" in text and "500 MHz" in text


def test_a_point_is_no_interval() -> None:
    assert figures.interval((0.5, 0.5)) == "error not known"
    assert figures.interval((0.5, 0.6)) == "0.5 to 0.6"

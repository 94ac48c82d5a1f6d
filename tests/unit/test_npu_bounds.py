from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from npu_figures import operation

from armopt.core.graph import GraphOperator
from armopt.core.npu_operation import NpuOperation
from armopt.latency.npu_bounds import bound_shares, model_advice, npu_layers, winnable_share

cycles = st.integers(0, 10_000)
operations = st.builds(
    NpuOperation,
    source=st.none() | st.integers(0, 4),
    operation=st.sampled_from(["Conv2D", "Relu", "Passthrough"]),
    kind=st.just("Conv2D"),
    name=st.sampled_from("abc"),
    cycles=cycles,
    mac_cycles=cycles,
    weight_cycles=cycles,
    scale_cycles=cycles,
    activation_cycles=cycles,
    macs=cycles,
    weight_bytes=cycles,
)
GRAPH = [GraphOperator(index, "CONV_2D", name=f"t{index}", shape=(1, 8, 8, 16)) for index in range(3)]


@given(st.lists(operations, max_size=8))
def test_cycles_add_up_and_no_more_can_be_won_than_there_are(given: list[NpuOperation]) -> None:
    layers = npu_layers(given, GRAPH, 128, {})
    assert sum(layer.cycles for layer in layers) == sum(part.cycles for part in given)
    assert all(0 <= layer.winnable_cycles <= layer.cycles for layer in layers)
    assert 0 <= winnable_share(layers) <= 1
    assert sum(bound_shares(layers).values()) <= 1 + 1e-3
    assert all(layer.advice and not layer.advice.endswith(".") for layer in layers)


def test_an_operator_that_waits_for_weights_is_told_what_zeros_can_save_and_what_binds_then() -> None:
    [layer] = npu_layers([operation()], GRAPH, 128, {})
    assert (layer.bound, layer.winnable_cycles, layer.kind, layer.name) == ("weights", 40, "CONV_2D", "t0")
    assert "up to 40% of it, then multiplying binds" in layer.advice


@pytest.mark.parametrize(
    ("figures", "bound", "advice"),
    [
        ({"mac_cycles": 100, "weight_cycles": 50}, "mac", "50% of the multipliers are busy"),
        ({"activation_cycles": 100, "weight_cycles": 50}, "activations", "a smaller picture"),
        # Zeros and codes do not shorten scales.
        ({"scale_cycles": 98}, "weights", "its scales and biases take the time"),
        # The operation before it hides the transfer: multiplying is what is left.
        ({"mac_cycles": 97, "weight_cycles": 150}, "mac", "zeros and codes win nothing"),
        # Slower in multiplying than in weights, and yet its first transfer is waited for.
        ({"cycles": 130, "mac_cycles": 105}, "mac", "more zeros or fewer codes save 19% at most"),
    ],
)
def test_what_binds_decides_what_would_help(figures: dict[str, int], bound: str, advice: str) -> None:
    [layer] = npu_layers([operation(**figures)], GRAPH, 128, {})
    assert layer.bound == bound
    assert advice in layer.advice


def test_the_parts_of_one_operator_are_one_layer_and_fused_ones_are_none() -> None:
    parts = [
        operation(kind="Softmax", cycles=10, weight_bytes=0),
        operation(operation="Sub", cycles=30, weight_bytes=0),
    ]
    fused = operation(operation="Relu", source=1, cycles=0)
    [layer] = npu_layers([*parts, fused], GRAPH, 128, {})
    assert (layer.cycles, layer.share) == (40, 1.0)


def test_an_operator_on_the_cpu_has_no_bound_and_says_why_it_is_there() -> None:
    left = operation(operation="Passthrough", source=1, cycles=0)
    layers = npu_layers([operation(), left], GRAPH, 128, {"t1": "Unsupported opType"})
    assert [layer.on_cpu for layer in layers] == [False, True]
    assert layers[1].bound is None and layers[1].advice.endswith("not estimated: Unsupported opType")
    assert bound_shares(layers) == {"weights": 1.0}


def test_an_operator_that_the_compiler_made_up_is_told_by_its_name() -> None:
    [layer] = npu_layers([operation(source=None, name="made up")], GRAPH, 128, {})
    assert (layer.index, layer.name, layer.kind) == (None, "made up", "Conv2D")


def test_the_models_sentence_follows_its_largest_share() -> None:
    assert "up to 22% of all" in model_advice({"weights": 0.6, "mac": 0.4}, 0.22)
    assert "can save 7% at most" in model_advice({"mac": 0.6, "weights": 0.4}, 0.07)
    assert "save nothing that is worth it" in model_advice({"activations": 1.0}, 0.01)
    assert model_advice({}, 0.0) == ""

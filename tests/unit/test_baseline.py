from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import EMULATED, emulated, scored, side

from armopt.core.baseline import compare
from armopt.core.comparison_record import Change, Comparison
from armopt.core.errors import UsageError
from armopt.core.operator_changes import COUNT_TOLERANCE, operator_changes, paired
from armopt.core.proportions import drop_bounds, wilson
from armopt.core.records import Metric

BLOCK = (side(0), side(1, "DEPTHWISE_CONV_2D", 50_000), side(2, shape=(1, 4, 4, 32)))


def change(comparison: Comparison, criterion: str) -> Change:
    return next(each for each in comparison.changes if each.criterion == criterion)


def test_a_model_with_one_more_block_regresses_and_the_new_operators_are_named() -> None:
    more = (*BLOCK[:2], side(2, "DEPTHWISE_CONV_2D", 30_000, name="new/dw"), side(3, name="new/pw"), BLOCK[2])
    found = compare(emulated(BLOCK), emulated(more), 0.01)
    assert found.verdict == "regressed"
    reason = change(found, "instructions").reason
    assert "380,000 instructions, 250,000 before (+52.0%), more than the 1% allowed" in reason
    assert "new #3 CONV_2D new/pw (+100,000), new #2 DEPTHWISE_CONV_2D new/dw (+30,000)" in reason
    assert [each.causes for each in found.operators] == [("new",), ("new",)]
    assert change(found, "operators").outcome == "held", "none takes more for the same work"


def test_the_same_model_holds_whatever_its_operators_are_called() -> None:
    renamed = tuple(each.model_copy(update={"name": f"other_{each.index}"}) for each in BLOCK)
    found = compare(emulated(BLOCK), emulated(renamed), 0.0)
    assert found.verdict == "held" and not found.operators


def test_an_operator_that_takes_more_for_the_same_work_regresses_though_the_total_does_not() -> None:
    slower = side(0, instructions=110_000, macs=100_000, kernel="gemm")
    faster = side(2, instructions=80_000, macs=100_000, shape=(1, 4, 4, 32))
    found = compare(emulated(BLOCK), emulated((slower, BLOCK[1], faster)), 0.01)
    assert change(found, "instructions").outcome == "held"
    assert found.verdict == "regressed"
    assert "taken by #0 CONV_2D model/layer_0 (+10,000)" in change(found, "operators").reason
    assert found.operators[1].causes == ("kernel",)


def test_an_operator_of_other_work_is_the_models_own_change_and_gated_by_the_total_alone() -> None:
    wider = side(0, instructions=120_000, shape=(1, 8, 8, 20))
    less = side(1, "DEPTHWISE_CONV_2D", 20_000)
    found = compare(emulated(BLOCK), emulated((wider, less, BLOCK[2])), 0.01)
    assert found.verdict == "held"
    assert {each.causes for each in found.operators} == {("work", "shape"), ("work",)}


@pytest.mark.parametrize(
    ("after", "causes"),
    [
        ({"run_by": "runtime", "kernel": "ruy"}, ("delegate", "kernel")),
        ({"bound": "bandwidth"}, ("bound",)),
        ({}, ("unknown",)),
    ],
)
def test_why_an_operator_costs_more(after: dict[str, Any], causes: tuple[str, ...]) -> None:
    [found] = operator_changes([side(0)], [side(0, instructions=200_000, **{"macs": 100_000, **after})], 0.01)
    assert found.causes == causes and found.outcome == "regressed"


def test_an_operator_that_was_fused_and_runs_now_is_told_so() -> None:
    [found] = operator_changes([side(0, "PAD", 0, macs=None)], [side(0, "PAD", 5_000, macs=None)], 0.01)
    assert found.causes == ("run",)


def test_counts_that_differ_by_some_dozen_instructions_are_the_same_and_one_more_is_not() -> None:
    for more, outcome in ((COUNT_TOLERANCE, "held"), (COUNT_TOLERANCE + 1, "regressed")):
        found = compare(emulated(), emulated(instructions=300_000 + more), 0.0)
        assert change(found, "instructions").outcome == outcome


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(0, 10**9), st.sampled_from([0.0, 0.01, 0.1]))
def test_instructions_are_gated_exactly(before: int, more: int, allowed: float) -> None:
    found = compare(
        emulated(instructions=before, latency_ms=None), emulated(instructions=before + more, latency_ms=None), allowed
    )
    over = before + more > before * (1 + allowed) + COUNT_TOLERANCE
    assert found.verdict == ("regressed" if over else "held")


@settings(deadline=None)
@given(st.integers(1, 10**7), st.integers(0, 10**7), st.sampled_from([0.0, 0.01, 0.5]))
def test_sizes_are_gated_exactly(before: int, after: int, allowed: float) -> None:
    sides = [emulated(instructions=None, latency_ms=None, gz_bytes=size) for size in (before, after)]
    assert compare(sides[0], sides[1], allowed).verdict == (
        "regressed" if after - before > allowed * before else "held"
    )


def test_memory_of_an_npu_is_gated_as_sizes_are() -> None:
    found = compare(emulated(sram_bytes=1000, flash_bytes=5000), emulated(sram_bytes=1100, flash_bytes=5000), 0.05)
    assert (change(found, "sram").outcome, change(found, "flash").outcome) == ("regressed", "held")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["A", "B", "C"]), max_size=12), st.lists(st.sampled_from(["A", "B", "C"]), max_size=12))
def test_every_operator_is_told_once(before: list[str], after: list[str]) -> None:
    sides = [[side(index, kind) for index, kind in enumerate(kinds)] for kinds in (before, after)]
    pairs = paired(*sides)
    assert [one for one, _ in pairs if one] == sides[0]
    assert sorted((other for _, other in pairs if other), key=lambda each: each.index or 0) == sides[1]
    assert all(one.kind == other.kind for one, other in pairs if one and other)


def test_a_modelled_latency_is_compared_as_it_is_on_equal_evidence() -> None:
    for after, outcome in ((0.3029, "held"), (0.3032, "regressed"), (0.2, "held")):
        found = compare(emulated(instructions=None), emulated(instructions=None, latency_ms=after), 0.01)
        assert change(found, "latency").outcome == outcome


def test_a_latency_of_unknown_error_is_inconclusive_beside_one_of_known_error() -> None:
    found = compare(emulated(), emulated(error_known=False, latency_ms=0.1), 0.01)
    assert found.verdict == "inconclusive" and "the error of the one now is not known" in found.reason


def test_operators_that_an_npu_leaves_to_the_cpu_make_its_latency_inconclusive() -> None:
    npu = EMULATED.model_copy(update={"evidence": "estimated"})
    one, other = (emulated(setting=npu, fallback=fallback) for fallback in ((), ("SIN",)))
    assert compare(one, other, 0.01).verdict == "inconclusive"
    assert "the CPU runs SIN now" in compare(one, other, 0.01).reason
    assert compare(other, one, 0.01).verdict == "held"


@pytest.mark.parametrize(
    ("value", "samples", "outcome"),
    [
        (0.975, 1000, "held"),  # 0.5 points are within 1% of 0.98
        (0.965, 400, "inconclusive"),  # 1.5 points of 400 samples: chance does that
        (0.965, 20_000, "regressed"),
        (0.90, 1000, "regressed"),
        (0.965, None, "regressed"),  # without a number of samples the figure is taken as it is
    ],
)
def test_a_metric_is_gated_beyond_its_noise(value: float, samples: int | None, outcome: str) -> None:
    found = compare(emulated(scored=scored(0.98, samples)), emulated(scored=scored(value, samples)), 0.01)
    assert change(found, "accuracy").outcome == outcome


def test_an_error_metric_is_worse_where_it_is_higher() -> None:
    error = {"metric": Metric(name="mean_squared_error", higher_is_better=False)}
    for value, outcome in ((0.5, "held"), (0.6, "regressed"), (0.4, "held")):
        found = compare(emulated(scored=scored(0.5, **error)), emulated(scored=scored(value, **error)), 0.01)
        assert change(found, "accuracy").outcome == outcome


def test_a_metric_of_other_data_is_not_compared() -> None:
    found = compare(emulated(scored=scored(0.9)), emulated(scored=scored(0.5, data="others")), 0.01)
    assert found.verdict == "held" and "the metric is not compared" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"device": "pi5"}, "device (pi4, not pi5)"),
        ({"threads": 4}, "threads (1, not 4)"),
        ({"runtime": "litert 2.3.0"}, "runtime (litert 2.1.6, not litert 2.3.0)"),
        ({"evidence": "measured"}, "evidence (modelled, not measured)"),
        ({"kernels": "builtin"}, "kernels (xnnpack, not builtin)"),
        ({"freq_mhz": 1500}, "MHz (1800, not 1500)"),
        ({"threads": 4, "runtime": "x 1"}, "threads (1, not 4), runtime (litert 2.1.6, not x 1)"),
    ],
)
def test_figures_that_came_about_differently_are_refused_by_name(other: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        compare(emulated(), emulated(setting=EMULATED.model_copy(update=other)), 0.01)
    assert words in refused.value.what and refused.value.mend


def test_what_a_baseline_does_not_say_is_told() -> None:
    old = EMULATED.model_copy(update={"threads": None, "runtime": None, "kernels": None})
    found = compare(emulated(setting=old), emulated(BLOCK), None)
    assert "does not say its threads and runtime" in found.notes[0]
    assert "the baseline has no operators" in found.notes[1]
    assert "this result does not" in compare(emulated(BLOCK), emulated(), None).notes[0]


def test_without_a_share_nothing_is_gated() -> None:
    found = compare(emulated(), emulated(instructions=900_000), None)
    assert found.verdict is None and {each.outcome for each in found.changes} == {None}
    assert change(found, "instructions").relative == pytest.approx(2)


def test_two_that_have_no_figure_in_common_are_inconclusive() -> None:
    bare = emulated(instructions=None, latency_ms=None, gz_bytes=None)
    assert compare(bare, bare, 0.01).verdict == "inconclusive"


def test_bounds_of_a_share_are_wilsons() -> None:
    # Newcombe 1998, table II, 81 of 263 and example (c) 56 of 70 against 48 of 80, both 95% two-sided.
    assert wilson(81 / 263, 263, 0.025) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert drop_bounds(56 / 70, 48 / 80, (70, 80), 0.025) == pytest.approx((0.0524, 0.3339), abs=5e-5)

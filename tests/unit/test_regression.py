"""Measured rounds against those of a baseline. How often that is wrong: benchmarks/baselines.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import series, timed

from armopt.core.baseline import compare
from armopt.core.comparison_record import Comparison
from armopt.core.regression import ALPHA, FEWEST_ROUNDS, difference, of_rounds

PAIRS = 200


def outcomes(slower: float, correlation: float) -> list[str | None]:
    """Verdicts on pairs of board runs, 30 values a side, of which the second is so much slower."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(PAIRS):
        before = series(random, 30, 10.0, correlation)
        after = series(random, 30, 10.0 * (1 + slower), correlation)
        found.append(compare(timed(before), timed(after), 0.01).verdict)
    return found


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.5, 0.7, 0.9])
def test_boards_of_equal_speed_raise_false_alarms_in_the_stated_share_at_most(correlation: float) -> None:
    assert outcomes(0.0, correlation).count("regressed") <= ALPHA * PAIRS


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.5])
def test_boards_that_are_five_percent_slower_are_found(correlation: float) -> None:
    found = outcomes(0.05, correlation)
    assert found.count("regressed") >= 0.9 * PAIRS
    assert found.count("held") <= 0.02 * PAIRS, "what is not found is inconclusive"


def test_rounds_that_wander_are_inconclusive_and_not_an_alarm() -> None:
    found = outcomes(0.05, 0.95)
    assert found.count("inconclusive") > found.count("regressed")


def verdict(before: list[float], after: list[float], allowed: float = 0.01) -> Comparison:
    return compare(timed(before), timed(after), allowed)


STEADY = [10.0, 10.02, 9.98, 10.01, 9.99, 10.0, 10.03, 9.97]


def test_a_clear_difference_is_told_with_its_bounds() -> None:
    found = verdict(STEADY, [1.1 * value for value in STEADY])
    assert found.verdict == "regressed"
    assert "11 ms, 10 before, by 8 rounds before and 8 rounds now: +10.0% (+9." in found.reason


def test_a_difference_within_what_is_allowed_holds() -> None:
    assert verdict(STEADY, [1.02 * value for value in STEADY], 0.05).verdict == "held"


def test_microseconds_do_not_alarm() -> None:
    tiny = [value / 100 for value in STEADY]
    found = verdict(tiny, [1.1 * value for value in tiny])
    assert found.verdict == "held" and "less than 20 us" in found.reason


def test_a_faster_model_holds() -> None:
    assert verdict(STEADY, [0.5 * value for value in STEADY]).verdict == "held"


def test_one_stray_process_neither_makes_a_regression_nor_hides_one() -> None:
    stray = [*STEADY[:-1], 60.0]
    assert verdict(STEADY, stray).verdict == "held"
    assert verdict(STEADY, [1.1 * value for value in stray]).verdict == "regressed"


def test_noise_that_could_hide_a_regression_is_inconclusive() -> None:
    noisy = [8.0, 12.0, 9.0, 11.5, 8.5, 11.0, 10.0, 12.5]
    found = verdict(noisy, noisy)
    assert found.verdict == "inconclusive" and "so much noise could hide" in found.reason


def test_few_rounds_are_inconclusive() -> None:
    found = verdict(STEADY, STEADY[: FEWEST_ROUNDS - 1])
    assert found.verdict == "inconclusive" and "5 rounds now are too few" in found.reason
    with pytest.raises(ValueError, match="too few"):
        difference(STEADY[:3], STEADY)


def test_an_unstable_measurement_decides_nothing() -> None:
    slower = [1.1 * value for value in STEADY]
    found = compare(timed(STEADY), timed(slower, unstable_reason="latency rose"), 0.01)
    assert found.verdict == "inconclusive" and "the measurement is unstable: latency rose" in found.reason


def test_a_round_counts_once_however_many_inferences_it_timed() -> None:
    rounds = [[value] * 500 for value in STEADY]
    assert of_rounds(rounds, "p50") == STEADY
    assert of_rounds([[1.0, 2.0, 9.0], []], "max") == [9.0]


def test_another_board_of_the_kind_is_noted() -> None:
    found = compare(timed(STEADY, host="desk"), timed(STEADY, host="shelf"), 0.01)
    assert found.verdict == "held" and "measured on shelf, the baseline on desk" in found.notes[0]


@settings(deadline=None)
@given(
    st.lists(st.floats(0.01, 1e4), min_size=FEWEST_ROUNDS, max_size=40),
    st.lists(st.floats(0.01, 1e4), min_size=FEWEST_ROUNDS, max_size=40),
    st.floats(0.1, 10),
)
def test_units_do_not_matter_and_bounds_enclose_the_difference(
    before: list[float], after: list[float], factor: float
) -> None:
    found = difference(before, after)
    assert found.low <= found.relative <= found.high
    scaled = difference([factor * value for value in before], [factor * value for value in after])
    assert scaled.relative == pytest.approx(found.relative, rel=1e-6, abs=1e-9)
    assert 0 <= found.correlation <= 0.95

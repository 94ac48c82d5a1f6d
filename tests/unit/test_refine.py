from __future__ import annotations

import numpy as np
import pytest

from armopt.catalog.devices import find_device
from armopt.core.calibration import Calibration, Terms, choose
from armopt.latency.refine import FLOOR, Timed, _factor, refine, summarise

BASE: Calibration = choose(find_device("pi4").calibrations, "xnnpack", "float", 1)
OLD = np.array([getattr(BASE, name) for name in Terms.model_fields])
COUNT = len(OLD)


def shapes(factors: list[float], number: int = 12, noise: float = 0.0) -> list[Timed]:
    """Shapes that lean on one term each, timed on a board whose terms are the old ones times `factors`."""
    random = np.random.default_rng(1)
    found = []
    for index in range(number):
        units = random.uniform(0.02, 0.1, COUNT)
        units[index % COUNT] += 5
        ms = float(units @ (OLD * factors)) * (1 + noise * float(random.standard_normal()))
        found.append(Timed(f"shape{index}", f"shape{index}", tuple(units), max(ms, 1e-6)))
    return found


def test_what_the_timings_tell_is_found() -> None:
    wanted = [1.2, 0.8, 1.1, 1.0, 1.3, 0.9, 1.0]
    found = refine(shapes(wanted, 28), BASE)
    for name, new, old, factor in zip(Terms.model_fields, found.terms, OLD, wanted, strict=True):
        assert new == pytest.approx(old * factor, rel=0.06), name


def test_a_term_that_no_shape_leans_on_stays() -> None:
    units = [0.0] * COUNT
    units[0] = 5.0
    found = refine([Timed("a", "a", tuple(units), 5 * float(OLD[0]))] * 8, BASE)
    assert found.terms == pytest.approx(tuple(OLD), rel=0.05)


def test_one_wild_shape_does_not_bend_the_terms() -> None:
    timed = shapes([1.0] * COUNT, 28)
    wild = Timed(timed[0].name, timed[0].shape, timed[0].units, 4 * timed[0].measured_ms)
    assert refine([wild, *timed[1:]], BASE).terms == pytest.approx(tuple(OLD), rel=0.15, abs=1e-9)


def test_no_term_becomes_negative() -> None:
    assert min(refine(shapes([0.05] * COUNT), BASE).terms) >= 0


def test_the_interval_never_falls_below_its_floor_nor_below_the_timings_own_spread() -> None:
    exact = shapes([1.0] * COUNT, 28)
    assert refine(exact, BASE).factor == pytest.approx(FLOOR)
    shaky = [Timed(one.name, one.shape, one.units, one.measured_ms, spread=1.4) for one in exact]
    assert refine(shaky, BASE).factor == pytest.approx(1.4)


def test_few_timings_say_so_and_keep_the_kinds_own_interval() -> None:
    found = refine(shapes([1.0] * COUNT, 4), BASE)
    assert "few data" in found.reason and found.factor >= max(1 / BASE.low, BASE.high)


def test_a_shape_of_which_the_others_leave_nothing_widens_the_interval_and_breaks_nothing() -> None:
    timed = shapes([1.0] * COUNT, 9)
    factor, reason = _factor(timed, np.zeros(9), BASE)
    assert factor == pytest.approx(1000) and "left out" in reason


def test_a_wild_process_and_a_wild_run_move_no_median() -> None:
    timed = summarise("a", "a", [1.0] * COUNT, [[10, 10, 10, 99], [10, 10, 10], [50, 50, 50]])
    assert timed.measured_ms == 10

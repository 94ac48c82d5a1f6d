from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.search.widths import LEVELS, widest


@given(st.floats(0.2, 3.5), st.floats(0.001, 1.5), st.floats(0.0, 0.3))
def test_the_widest_width_that_fits_is_found_for_any_growing_load(power: float, limit: float, fixed: float) -> None:
    def load(width: float) -> float:
        return (fixed + (1 - fixed) * width**power) / limit

    found, probes = widest(load)
    fitting = [level / LEVELS for level in range(1, LEVELS + 1) if load(level / LEVELS) <= 1]
    assert found == (max(fitting) if fitting else None)
    assert len(probes) <= 12


def test_shapes_that_come_in_steps_take_few_probes() -> None:
    asked = []

    def load(width: float) -> float:
        asked.append(width)
        return (round(width * 276 / 8) * 8 / 276) ** 1.9 / 0.4

    found, probes = widest(load)
    assert found is not None and load(found) <= 1 < load(found + 1 / LEVELS)
    assert len(probes) <= 7
    assert [probe.width for probe in probes] == asked[: len(probes)]


def test_a_model_that_fits_as_it_is_is_asked_about_once() -> None:
    found, probes = widest(lambda width: 0.9 * width)
    assert (found, len(probes)) == (1.0, 1)


def test_where_not_even_the_narrowest_fits_there_is_none() -> None:
    found, probes = widest(lambda width: 1.01)
    assert found is None
    assert min(probe.width for probe in probes) == pytest.approx(1 / LEVELS)

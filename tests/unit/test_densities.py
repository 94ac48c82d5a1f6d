from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from armopt.core.densities import Density, code_density, level_density, value_density

CODES = arrays.arrays(np.int8, arrays.array_shapes(max_dims=4, max_side=5))


def shares_add_up(density: Density) -> bool:
    return bool(np.isclose(density.shares.sum() + density.zeros, 1)) and density.shares.min(initial=0) >= 0


@given(arrays.arrays(np.float32, st.integers(1, 300), elements=st.floats(-4, 4, width=32)))
def test_every_weight_is_counted_once_and_zeros_apart(values: np.ndarray) -> None:
    density = value_density("float", values, 4.0)
    assert shares_add_up(density)
    assert density.zeros == pytest.approx((values == 0).mean())
    assert density.distinct == len(np.unique(values))
    assert density.is_histogram == (len(np.unique(values[values != 0])) > 64)


@given(CODES)
def test_codes_are_counted_where_they_are_stored(codes: np.ndarray) -> None:
    density = code_density("ptq", [(codes, codes == 0)])
    assert shares_add_up(density)
    assert density.limits == (-128, 127)
    assert 0 not in density.places
    assert list(density.places) == sorted(set(codes.ravel().tolist()) - {0})
    assert density.distinct == len(np.unique(codes))


@given(arrays.arrays(np.int16, st.integers(1, 99), elements=st.integers(-127, 127)))
def test_levels_are_counted_zero_included(levels: np.ndarray) -> None:
    density = level_density("cluster", levels)
    assert shares_add_up(density)
    assert density.distinct == len(np.unique(levels))


def test_few_values_stand_by_themselves_and_many_are_counted_in_equal_bins() -> None:
    few = value_density("cluster", np.repeat([-0.5, 0.0, 0.25], 4), 1.0)
    assert (few.places.tolist(), few.shares.tolist(), few.zeros) == ([-0.5, 0.25], [1 / 3, 1 / 3], 1 / 3)
    many = value_density("float", np.linspace(-1, 1, 1001), 1.0)
    assert many.is_histogram and (many.places[0], many.places[-1]) == (-1, 1)
    assert np.ptp(many.shares) < 2 / 1001


def test_zero_is_where_the_file_says_that_it_is() -> None:
    codes = np.array([[128, 130], [128, 7]], np.uint8)
    density = code_density("ptq", [(codes, codes == 128)])
    assert (density.limits, density.zero_at, density.zeros, density.distinct) == ((0, 255), 128, 0.5, 3)


def test_a_kernel_that_became_several_tensors_counts_the_codes_of_the_richest() -> None:
    gates = [np.array(codes, np.int8) for codes in ([1, 2, 3], [1, 1, 1], [7, 7, 0])]
    density = code_density("ptq", [(gate, gate == 0) for gate in gates])
    assert (density.weights, density.distinct, density.zeros) == (9, 3, pytest.approx(1 / 9))


def test_weights_that_are_no_numbers_are_not_taken_for_zeros() -> None:
    values = np.array([np.nan, 1.0, 0.0, -1.0] * 30 + [*np.linspace(0.1, 1, 80)], np.float32)
    assert value_density("float", values, 1.0).zeros == pytest.approx(30 / 200)

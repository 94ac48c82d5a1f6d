from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.show import figures


@pytest.mark.parametrize(
    ("value", "shown"), [(0.20712, "0.207 ms"), (12.345, "12.3 ms"), (1234.5, "1,234 ms"), (0.0, "0 ms")]
)
def test_milliseconds_have_three_digits(value: float, shown: str) -> None:
    assert figures.milliseconds(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(9812, "9,812 B"), (98_123, "98.1 kB"), (1_204_000, "1.20 MB")])
def test_sizes_are_decimal(value: int, shown: str) -> None:
    assert figures.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(812, "812"), (12_500, "12.5 k"), (16_300_000, "16.3 M"), (2_100_000_000, "2.10 G")]
)
def test_counts_have_a_unit(value: int, shown: str) -> None:
    assert figures.count(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0%"), (0.0123, "1.2%"), (0.5, "50%"), (1.0, "100%")])
def test_a_share_that_is_not_zero_is_not_shown_as_zero(value: float, shown: str) -> None:
    assert figures.share(value) == shown


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_change_has_the_sign_of_what_happened(value: float, source: float) -> None:
    shown = figures.change(value, source)
    assert shown == "0" if abs(value - source) < 5e-5 else shown[0] == ("+" if value > source else "-")


@pytest.mark.parametrize(("value", "shown"), [(0.42, "0.4 s"), (12.3, "12 s"), (200.0, "3 min 20 s")])
def test_wall_time_is_said_as_people_say_it(value: float, shown: str) -> None:
    assert figures.seconds(value) == shown

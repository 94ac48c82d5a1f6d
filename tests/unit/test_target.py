from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.core.errors import UsageError
from armopt.core.target import Target, parse_bytes, parse_count, parse_duration, parse_fraction, parse_latency

PARSERS = [parse_latency, parse_bytes, parse_count, parse_fraction, parse_duration]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20ms", (20.0, "p50")), ("1.5s@p95", (1500.0, "p95")), ("800us@max", (0.8, "max")), (" 3 ms ", (3.0, "p50"))],
)
def test_a_latency_is_read_with_its_unit_and_percentile(text: str, expected: tuple[float, str]) -> None:
    value, percentile = parse_latency(text)
    assert (value, percentile) == (pytest.approx(expected[0]), expected[1])


@pytest.mark.parametrize("text", ["20", "20ms@p99", "-1ms", "0ms", "1e400s", "ms", "", "20 minutes", "nanms"])
def test_a_latency_without_a_unit_or_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a latency; write it like"):
        parse_latency(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250000", 250_000), ("250kB", 250_000), ("64KiB", 65_536), ("1.5MB", 1_500_000), ("1MiB", 1_048_576), ("7b", 7)],
)
def test_a_bare_size_is_bytes_and_units_are_decimal_unless_they_say_so(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["0", "0.2", "-5", "5GB", "kB", "1e30", "five"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_bytes(text)


@pytest.mark.parametrize(("text", "expected"), [("12.5M", 12_500_000), ("2G", 2 * 10**9), ("16300000", 16_300_000)])
def test_a_count_takes_k_m_and_g(text: str, expected: int) -> None:
    assert parse_count(text) == expected


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("90s", 90), ("1.5h", 5400), (" 2 m ", 120)])
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["30", "0m", "-1m", "1e400h", "m", "", "10 minutes", "5d"])
def test_a_duration_without_a_unit_or_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration; write it like"):
        parse_duration(text)


@given(st.integers(1, 10**12))
def test_whole_numbers_survive_as_sizes_and_counts(number: int) -> None:
    assert parse_bytes(str(number)) == parse_count(str(number)) == number


@given(st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 6)))
def test_a_percentage_is_the_fraction_it_stands_for(fraction: float) -> None:
    assert parse_fraction(f"{fraction:.6f}") == pytest.approx(fraction)
    assert parse_fraction(f"{fraction * 100:.6f}%") == pytest.approx(fraction, abs=1e-8)


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text(max_size=20))
def test_any_text_is_either_read_or_refused_in_one_line(parse, text: str) -> None:  # type: ignore[no-untyped-def]
    try:
        value = parse(text)
    except UsageError as error:
        assert error.exit_code == 2
        assert error.mend
    else:
        assert math.isfinite(value[0] if isinstance(value, tuple) else value)


def test_a_target_without_limits_is_empty_whatever_evidence_it_demands() -> None:
    assert Target().is_empty
    assert Target(evidence="measured").is_empty
    assert not Target(max_drop=0.0).is_empty

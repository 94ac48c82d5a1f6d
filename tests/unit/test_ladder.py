from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from armopt.core.records import Metric
from armopt.search.strengths.ladder import Standing, going_on, next_rung, ranked, rungs_of

ACCURACY = Metric(name="accuracy")


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 100), st.floats(0.1, 9)), min_size=1, max_size=12))
def test_ranking_keeps_all_and_puts_none_before_one_that_beats_it(figures: list[tuple[float, int, float]]) -> None:
    seen = [Standing(number, *figure) for number, figure in enumerate(figures)]
    order = ranked(seen, ACCURACY)
    assert sorted(order) == list(range(len(figures)))
    for place, number in enumerate(order):
        a = seen[number]
        for later in order[place + 1 :]:
            b = seen[later]
            no_worse = b.metric >= a.metric and b.gz_bytes <= a.gz_bytes and (b.latency_ms or 0) <= (a.latency_ms or 0)
            assert not (no_worse and b.metric > a.metric)


def test_the_better_half_of_all_that_were_seen_goes_on() -> None:
    seen = [Standing(number, 0.9 + 0.01 * number, 100, 1.0) for number in range(8)]
    assert going_on("short", seen, [4, 5, 2, 1], ACCURACY) == [4, 5]
    assert going_on("one-shot", seen, [0, 1, 2, 7], ACCURACY) == [2, 7]
    assert going_on("short", seen[:1], [0], ACCURACY) == [0]
    assert [next_rung("one-shot"), next_rung("short"), next_rung("long")] == ["short", "long", None]


def test_nothing_is_stopped_for_what_says_nothing() -> None:
    first = [Standing(number, 0.1, 100, 1.0) for number in range(4)]
    assert going_on("one-shot", first, [0, 1, 2, 3], ACCURACY) == [0, 1, 2, 3]
    assert rungs_of(150) == ("one-shot", "long")
    assert rungs_of(400) == ("one-shot", "short", "long")
    assert next_rung("one-shot", rungs_of(150)) == "long"

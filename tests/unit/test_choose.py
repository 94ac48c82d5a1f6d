from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from armopt.core.records import Metric
from armopt.search.choose import Candidate, best, pareto

ACCURACY = Metric(name="accuracy")
ERROR = Metric(name="mae", higher_is_better=False)

candidates = st.lists(
    st.builds(
        Candidate,
        path=st.uuids().map(str),
        metric=st.sampled_from([0.5, 0.7, 0.9]),
        gz_bytes=st.integers(1, 5),
        latency_ms=st.sampled_from([None, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=8,
)


def _time(candidate: Candidate) -> float:
    """What is not known is never the faster."""
    return float("inf") if candidate.latency_ms is None else candidate.latency_ms


def _better_everywhere(a: Candidate, b: Candidate) -> bool:
    left, right = (-a.metric, a.gz_bytes, _time(a)), (-b.metric, b.gz_bytes, _time(b))
    return left != right and all(x <= y for x, y in zip(left, right, strict=True))


@given(candidates)
def test_the_pareto_set_holds_exactly_what_no_other_candidate_beats(given_candidates: list[Candidate]) -> None:
    front = pareto(given_candidates, ACCURACY)
    for candidate in given_candidates:
        beaten = any(_better_everywhere(other, candidate) for other in given_candidates)
        assert (candidate.path in front) == (not beaten)


@given(candidates)
def test_the_best_is_one_of_the_fastest(given_candidates: list[Candidate]) -> None:
    chosen = best(given_candidates, ACCURACY, 0.9, accuracy_was_asked=True)
    assert chosen is not None
    assert _time(chosen) <= min(_time(c) for c in given_candidates) * 1.01


def test_of_equally_fast_candidates_the_smallest_is_best() -> None:
    large, small = Candidate("a", 0.95, 200, 5.0), Candidate("b", 0.94, 100, 5.02)
    assert best([large, small], ACCURACY, 0.95, accuracy_was_asked=True) == small


def test_a_faster_candidate_beats_a_smaller_one() -> None:
    fast, small = Candidate("a", 0.95, 200, 4.0), Candidate("b", 0.95, 100, 5.0)
    assert best([fast, small], ACCURACY, 0.95, accuracy_was_asked=True) == fast


def test_without_an_accuracy_limit_a_ruined_candidate_is_not_best() -> None:
    good, ruined = Candidate("a", 0.95, 200, 5.0), Candidate("b", 0.60, 100, 5.0)
    assert best([good, ruined], ACCURACY, 0.95, accuracy_was_asked=False) == good
    assert best([good, ruined], ACCURACY, 0.95, accuracy_was_asked=True) == ruined


def test_where_all_are_ruined_the_most_accurate_is_best() -> None:
    bad, worse = Candidate("a", 0.70, 200, 5.0), Candidate("b", 0.60, 100, 5.0)
    assert best([worse, bad], ACCURACY, 0.95, accuracy_was_asked=False) == bad


def test_for_an_error_metric_lower_is_better() -> None:
    low, high = Candidate("a", 0.10, 100, 5.0), Candidate("b", 0.30, 100, 5.0)
    assert best([high, low], ERROR, 0.10, accuracy_was_asked=False) == low
    assert pareto([high, low], ERROR) == ("a",)


def test_of_no_candidates_none_is_best() -> None:
    assert best([], ACCURACY, 0.9, accuracy_was_asked=True) is None

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.core.gate import EVIDENCE_ORDER, Observed, judge
from armopt.core.quantiles import summarise
from armopt.core.records import Latency, Metric, Percentile
from armopt.core.stopping import Claim, decide
from armopt.core.target import Target

ACCURACY = Metric(name="accuracy")
ERROR = Metric(name="mean_absolute_error", higher_is_better=False)

positive = st.floats(1e-3, 1e3)
share = st.floats(0, 1)


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    low, p50, high = sorted((draw(positive), draw(positive), draw(positive)))
    return Observed(
        metric=draw(share),
        source_metric=draw(share),
        gz_bytes=draw(st.integers(1, 10**6)),
        instructions=draw(st.integers(1, 10**9)),
        latency_ms=Latency(p50=p50),
        interval_ms=(low, high),
        evidence=draw(st.sampled_from(EVIDENCE_ORDER)),
    )


targets = st.builds(
    Target,
    max_latency_ms=st.none() | positive,
    max_instructions=st.none() | st.integers(1, 10**9),
    max_gz_bytes=st.none() | st.integers(1, 10**6),
    min_accuracy=st.none() | share,
    max_drop=st.none() | share,
    evidence=st.none() | st.sampled_from(["estimated", "modelled", "measured"]),
)


@pytest.mark.parametrize("metric", [ACCURACY, ERROR])
@given(target=targets, observed=observations(), looser=st.floats(1, 10))
def test_a_looser_limit_never_unmeets_a_target(
    metric: Metric, target: Target, observed: Observed, looser: float
) -> None:
    if judge(target, observed, metric).verdict != "met":
        return
    floor = target.min_accuracy
    relaxed = target.model_copy(
        update={
            "max_latency_ms": target.max_latency_ms and target.max_latency_ms * looser,
            "max_instructions": target.max_instructions and int(target.max_instructions * looser),
            "max_gz_bytes": target.max_gz_bytes and int(target.max_gz_bytes * looser),
            "max_drop": None if target.max_drop is None else target.max_drop * looser,
            "min_accuracy": None if floor is None else floor / looser if metric.higher_is_better else floor * looser,
        }
    )
    assert judge(relaxed, observed, metric).verdict == "met"


@given(target=targets, observed=observations())
def test_a_verdict_is_there_exactly_when_a_limit_is(target: Target, observed: Observed) -> None:
    judgement = judge(target, observed, ACCURACY)
    assert (judgement.verdict is None) == target.is_empty
    assert judgement.reason or judgement.verdict is None


@given(target=targets, observed=observations())
def test_one_missed_limit_misses_the_target(target: Target, observed: Observed) -> None:
    judgement = judge(target, observed, ACCURACY)
    assert (judgement.verdict == "missed") == bool(judgement.missed)


@given(target=targets)
def test_nothing_observed_is_never_met(target: Target) -> None:
    assert judge(target, Observed(), ACCURACY).verdict == (None if target.is_empty else "inconclusive")


@pytest.mark.parametrize(
    ("limit_ms", "verdict"), [(1.2, "met"), (1.19, "inconclusive"), (0.8, "inconclusive"), (0.79, "missed")]
)
def test_a_modelled_latency_is_decided_by_its_interval_and_not_by_its_middle(limit_ms: float, verdict: str) -> None:
    seen = Observed(latency_ms=Latency(p50=1.0), interval_ms=(0.8, 1.2), evidence="modelled")
    assert judge(Target(max_latency_ms=limit_ms), seen, ACCURACY).verdict == verdict


def test_a_modelled_latency_says_nothing_of_a_percentile_but_p50() -> None:
    seen = Observed(latency_ms=Latency(p50=1.0), interval_ms=(0.8, 1.2), evidence="modelled")
    judgement = judge(Target(max_latency_ms=100.0, percentile="p95"), seen, ACCURACY)
    assert (judgement.verdict, "p95" in judgement.reason) == ("inconclusive", True)


@pytest.mark.parametrize("limit_ms", [0.01, 1.0, 100.0])
def test_a_modelled_latency_of_unknown_error_is_inconclusive_whatever_the_limit(limit_ms: float) -> None:
    seen = Observed(latency_ms=Latency(p50=1.0), evidence="modelled", instructions=10)
    judgement = judge(Target(max_latency_ms=limit_ms), seen, ACCURACY)
    assert judgement.verdict == "inconclusive" and "measure a board" in judgement.reason
    assert judge(Target(max_instructions=10), seen, ACCURACY).verdict == "met"


@pytest.mark.parametrize("evidence", ["functional", "estimated", "modelled", None])
def test_weaker_evidence_than_demanded_is_inconclusive_however_fast(evidence: str | None) -> None:
    seen = Observed(latency_ms=Latency(p50=0.1), interval_ms=(0.1, 0.1), evidence=evidence)
    assert judge(Target(max_latency_ms=1.0, evidence="measured"), seen, ACCURACY).verdict == "inconclusive"


def test_a_functional_run_is_never_gated_on_latency() -> None:
    seen = Observed(latency_ms=Latency(p50=0.1), interval_ms=(0.1, 0.1), evidence="functional")
    assert judge(Target(max_latency_ms=1.0), seen, ACCURACY).verdict == "inconclusive"


MEASURED = Observed(
    latency_ms=Latency(p50=1.0, p90=1.4, p95=1.5, max=3.0, runs=600),
    interval_ms=(1.4, 1.6),
    percentile="p95",
    evidence="measured",
)


@pytest.mark.parametrize(("limit_ms", "verdict"), [(1.6, "met"), (1.5, "inconclusive"), (1.39, "missed")])
def test_a_measured_latency_is_decided_by_the_interval_of_its_percentile(limit_ms: float, verdict: str) -> None:
    judgement = judge(Target(max_latency_ms=limit_ms, percentile="p95"), MEASURED, ACCURACY)
    assert judgement.verdict == verdict
    assert "latency 1.5 ms at p95 (1.4 to 1.6, measured)" in judgement.reason


@pytest.mark.parametrize("percentile", ["p50", "p90"])
@pytest.mark.parametrize("limit_ms", [0.1, 100.0])
def test_the_interval_of_one_percentile_says_nothing_of_another(percentile: Percentile, limit_ms: float) -> None:
    judgement = judge(Target(max_latency_ms=limit_ms, percentile=percentile), MEASURED, ACCURACY)
    assert (judgement.verdict, percentile in judgement.reason) == ("inconclusive", True)


@pytest.mark.parametrize("limit_ms", [0.1, 100.0])
def test_an_unstable_measurement_is_unstable_whatever_the_limit(limit_ms: float) -> None:
    seen = MEASURED.model_copy(update={"unstable_reason": "the board throttled itself"})
    judgement = judge(Target(max_latency_ms=limit_ms, percentile="p95"), seen, ACCURACY)
    assert (judgement.verdict, "throttled" in judgement.reason) == ("unstable", True)


def test_one_run_over_a_limit_on_all_of_them_is_missed_however_few_there_were() -> None:
    seen = MEASURED.model_copy(update={"percentile": "max", "interval_ms": None, "unstable_reason": "it drifts"})
    assert judge(Target(max_latency_ms=2.9, percentile="max"), seen, ACCURACY).verdict == "missed"
    assert judge(Target(max_latency_ms=3.0, percentile="max"), seen, ACCURACY).verdict == "unstable"
    all_of_them = seen.model_copy(update={"interval_ms": (3.0, 3.0), "unstable_reason": None})
    assert judge(Target(max_latency_ms=3.0, percentile="max"), all_of_them, ACCURACY).verdict == "met"


@given(
    rounds=st.lists(st.lists(positive, min_size=1, max_size=8), min_size=1, max_size=9),
    limit_ms=positive,
    percentile=st.sampled_from(["p50", "p90", "p95", "max"]),
)
def test_the_gate_agrees_with_the_rule_that_ended_the_measurement(
    rounds: list[list[float]], limit_ms: float, percentile: Percentile
) -> None:
    found = decide(rounds, Claim(limit_ms=limit_ms, percentile=percentile, max_rounds=7))
    seen = Observed(
        latency_ms=summarise(rounds),
        interval_ms=found.interval_ms,
        percentile=percentile,
        unstable_reason=found.reason if found.stable is False else None,
        evidence="measured",
    )
    if found.finished:
        assert judge(Target(max_latency_ms=limit_ms, percentile=percentile), seen, ACCURACY).verdict == found.verdict


def test_a_drop_of_exactly_the_limit_is_met() -> None:
    seen = Observed(metric=0.97, source_metric=0.98)
    assert judge(Target(max_drop=0.01), seen, ACCURACY).verdict == "met"


def test_a_rising_error_is_a_drop() -> None:
    seen = Observed(metric=1.5, source_metric=1.0)
    assert judge(Target(max_drop=0.4), seen, ERROR).verdict == "missed"
    assert judge(Target(max_drop=0.5), seen, ERROR).verdict == "met"
    assert judge(Target(min_accuracy=1.4), seen, ERROR).verdict == "missed"

from __future__ import annotations

import math
from typing import Any

import pytest

from armopt.core.records import Metric
from armopt.core.search_record import Trial
from armopt.core.target import Target
from armopt.search.strengths.told import Goal, excesses, objectives, winners

ACCURACY = Metric(name="accuracy")


def test_what_the_target_leaves_open_is_the_objective() -> None:
    def of(**limits: Any) -> list[str]:
        known = {"metric": 1.0, "gz_bytes": 2, "latency_ms": 3.0, "interval_ms": (2.0, 4.0)}
        trial = Trial(number=0, path="ptq", strengths={}, state="finished", **known)
        names = {1.0: "accuracy", 2.0: "size", 3.0: "latency"}
        return [names[value] for value, _ in objectives(Goal(Target(**limits), ACCURACY, 0.9), trial)]

    assert of() == ["accuracy", "latency", "size"]
    assert of(max_latency_ms=1, max_drop=0.01) == ["size"]
    assert of(max_gz_bytes=9) == ["accuracy", "latency"]
    assert of(max_latency_ms=1, max_gz_bytes=9, max_drop=0.01) == ["accuracy"]


def test_limits_are_met_below_zero_and_missed_above() -> None:
    goal = Goal(Target(max_latency_ms=2, max_gz_bytes=100, max_drop=0.01), ACCURACY, 0.9)
    trial = Trial(
        number=0, path="ptq", strengths={}, state="finished", metric=0.88, gz_bytes=50, latency_ms=2, interval_ms=(1, 3)
    )
    found = excesses(goal, trial)
    assert found["latency"] == pytest.approx(0.5) and found["size"] < 0 and found["drop"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("limits", "evidence", "decides"),
    [
        ({"max_latency_ms": 2.0, "max_drop": 0.01}, "modelled", True),
        ({"max_latency_ms": 2.0, "max_gz_bytes": 9}, "modelled", False),
        ({"max_sram_bytes": 9}, "estimated", False),
        ({"max_latency_ms": 2.0}, "estimated", False),
        ({"max_latency_ms": 2.0}, "measured", False),
    ],
)
def test_width_decides_where_no_limit_but_a_modelled_latency_can_be_missed_untrained(
    limits: dict[str, Any], evidence: Any, decides: bool
) -> None:
    assert Goal(Target(**limits), ACCURACY, 0.95, evidence).width_decides is decides


def test_an_unknown_latency_is_never_the_better_and_all_that_is_told_is_a_number() -> None:
    common: dict[str, Any] = {"path": "ptq", "strengths": {}, "state": "finished", "metric": 0.9, "gz_bytes": 9}
    known = Trial(number=0, latency_ms=500.0, interval_ms=(1.0, 999.0), **common)
    unknown = [Trial(number=1, latency_ms=0.1, **common), Trial(number=2, **common)]
    goal = Goal(Target(), ACCURACY, 0.9)
    assert winners(goal, [*unknown, known])[0] == known
    bound = Goal(Target(max_latency_ms=1.0, max_instructions=5), ACCURACY, 0.9)
    for trial in (known, *unknown):
        assert all(math.isfinite(value) for value, _ in objectives(goal, trial))
        assert all(math.isfinite(value) for value in excesses(bound, trial).values())
    assert excesses(bound, unknown[0])["latency"] > excesses(bound, known)["latency"]

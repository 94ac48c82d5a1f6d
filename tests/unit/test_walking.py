"""Which of several searched plans is told of. Walking itself: test_walk.py; real searches: tests/integration."""

from __future__ import annotations

from typing import Any

import pytest

from armopt import walking
from armopt.core.errors import ArmoptError, ModelError
from armopt.core.events import Event, Note
from armopt.core.profile import Profile
from armopt.core.search_record import SearchRecord
from armopt.core.target import Target
from armopt.search.walk import Walked
from armopt.searching import Searched


class Anyone:
    """Stands for builder, hands and device, of which only the plans' walks are asked."""

    def __init__(self, told: list[Event]) -> None:
        self.listener = told.append

    def apart(self, scoring: Any, profile: Profile, listener: Any) -> Any:
        return profile

    def instead(self, inner: Any) -> Any:
        return inner


def walked_of(outcomes: list[Any], monkeypatch: pytest.MonkeyPatch) -> tuple[walking.Found, int, list[Event]]:
    """What is told of, the number of plans that were walked, and what was said."""
    plans = tuple(Profile(name=str(number), tree=("ptq",)) for number in range(len(outcomes)))
    searched = Searched(SearchRecord(seed=1, trials=()), plans, tuple(range(10, 10 + len(plans))))
    seen, told = [], list[Event]()

    def walk(plan: Profile, *rest: Any) -> Walked:
        seen.append(plan)
        outcome = outcomes[int(plan.name)]
        if isinstance(outcome, ArmoptError):
            raise outcome
        return Walked({}, verdict=outcome)

    monkeypatch.setattr(walking, "_walk", walk)
    anyone: Any = Anyone(told)
    found = walking._first_that_holds(searched, anyone, anyone, anyone, Target(), "first")
    return found, len(seen), told


LOST = ModelError("training diverged", "lower the learning rate")


@pytest.mark.parametrize(
    ("outcomes", "winner", "tried"),
    [
        (["met", "met", "met"], 10, 1),
        (["missed", "met", "missed"], 11, 2),
        (["missed", "missed", "missed"], 10, 3),  # the first missed by least on val
        (["missed", "inconclusive", "missed"], 11, 3),
        ([LOST, "met"], 11, 2),
        (["missed", LOST], 10, 2),
        ([None, "met"], 10, 1),
    ],
)
def test_the_first_plan_that_holds_on_test_is_delivered_and_else_the_best_is_told_of(
    outcomes: list[Any], winner: int, tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, count, told = walked_of(outcomes, monkeypatch)
    assert found.search is not None
    assert (found.search.winner, count) == (winner, tried)
    assert sum(isinstance(event, Note) for event in told) == outcomes[:tried].count(LOST)


def test_where_no_plan_could_be_trained_the_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="training diverged"):
        walked_of([LOST, LOST], monkeypatch)

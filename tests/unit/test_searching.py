"""What a search decides before its first trial. The trials: test_strengths.py; real ones: tests/integration."""

from __future__ import annotations

from typing import Any

import pytest
from search_results import trial

from armopt.catalog.profiles import find_profile
from armopt.core.errors import ModelError
from armopt.core.events import Event, Note
from armopt.core.profile import Profile
from armopt.core.records import Metric
from armopt.core.search_record import SearchRecord
from armopt.core.target import Target
from armopt.search.strengths.told import Goal
from armopt.searching import Searched, _front, _nothing, _stages, _widest

SPEED = Target(max_latency_ms=1.0)
ALL = frozenset({"channels", "prune", "cluster"})


class Sight:
    """Stands for an outlook: what it says of widths, and of a model with all its channels."""

    def __init__(self, widest: Any = None, slow: str | None = None) -> None:
        self._widest, self._slow = widest, slow

    def widest(self, node: str, leaf: str) -> tuple[float | None, str]:
        assert (node, leaf) == ("channels", "channels/ptq")
        if isinstance(self._widest, Exception):
            raise self._widest
        return self._widest, "takes 3 ms"

    def why_too_slow(self, path: str) -> str | None:
        assert path == "ptq"
        return self._slow


@pytest.mark.parametrize(
    ("sight", "target", "stages", "width", "hopeless"),
    [
        (Sight(0.7), SPEED, ALL, 0.7, None),
        (Sight(1.0), SPEED, ALL, 1.0, None),
        (Sight(None), SPEED, ALL, None, "takes 3 ms"),
        (Sight(), Target(max_drop=0.1), ALL, 1.0, None),
        (Sight(), Target(max_drop=0.1), ALL - {"channels"}, None, None),
        (Sight(), SPEED, ALL - {"channels"}, None, None),
        (Sight(slow="takes 3 ms"), SPEED, ALL - {"channels"}, None, "'ptq' takes 3 ms"),
        (Sight(ModelError("none to prune", "leave them"), "takes 3 ms"), SPEED, ALL, None, "'ptq' takes 3 ms"),
        (Sight(ModelError("none to prune", "leave them")), SPEED, ALL, None, None),
    ],
)
def test_the_widest_that_is_fast_enough_bounds_the_search_and_none_ends_it(
    sight: Any, target: Target, stages: frozenset[str], width: float | None, hopeless: str | None
) -> None:
    told: list[Event] = []
    assert _widest(sight, target, stages, told.append) == (width, hopeless)
    if isinstance(sight._widest, ModelError):
        assert any(isinstance(event, Note) and "channels are not pruned: none to prune" in event.text for event in told)


def test_a_search_uses_the_stages_of_its_profile_and_channels_where_they_join() -> None:
    plan = find_profile("default")
    assert _stages(plan) == ALL
    assert _stages(plan.model_copy(update={"speed_tree": ()})) == {"prune", "cluster"}
    assert _stages(Profile(name="few", tree=("ptq", "qat"))) == frozenset()


def test_where_nothing_was_found_the_model_is_only_quantized() -> None:
    record = SearchRecord(seed=1, trials=())
    found = _nothing(find_profile("default"), record)
    [plan] = found.plans
    assert (plan.tree, plan.joining) == (("ptq",), ())
    assert found.recorded(plan).winner is None


def test_the_record_names_the_trial_that_was_trained_in_full() -> None:
    plans = tuple(Profile(name=name, tree=("ptq",)) for name in "ab")
    found = Searched(SearchRecord(seed=1, trials=()), plans, (3, 7))
    assert [found.recorded(plan).winner for plan in plans] == [3, 7]


def test_the_front_holds_finished_trials_only_and_an_unknown_latency_is_never_the_faster() -> None:
    trials = [
        trial(0, metric=0.97, gz_bytes=100, latency_ms=1.0),
        trial(1, metric=0.96, gz_bytes=100, latency_ms=2.0),  # beaten by 0
        trial(2, metric=0.90, gz_bytes=50, latency_ms=1.0),
        trial(3, metric=0.99, gz_bytes=10, latency_ms=0.1, state="stopped"),
        trial(4, metric=0.96, gz_bytes=100, latency_ms=0.1, interval_ms=None),
    ]
    assert _front(trials, Goal(SPEED, Metric(name="accuracy"), 0.98)) == (0, 2)

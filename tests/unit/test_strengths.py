from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from armopt.core.errors import UsageError
from armopt.core.events import Doing, Event, Note, SearchProgress
from armopt.core.records import Latency, Measurement, Metric
from armopt.core.search_record import SearchRecord, Trial
from armopt.core.target import Target
from armopt.search.store import Store
from armopt.search.strengths.evaluate import Ask, Outcome
from armopt.search.strengths.known import Memory
from armopt.search.strengths.space import Space
from armopt.search.strengths.study import GENERATION, Study, trial_figures, trial_line
from armopt.search.strengths.told import Goal, winners

ACCURACY = Metric(name="accuracy")


def measured(ms: float, instructions: int = 1_000_000) -> Measurement:
    return Measurement(
        device="pi4", runner="qemu", evidence="modelled", runtime="litert", threads=1, freq_mhz=1800,
        latency_ms=Latency(p50=ms), interval_ms=(0.9 * ms, 1.1 * ms), instructions=instructions, seconds=0.1,
    )  # fmt: skip


class Landscape:
    """Stands for training and measuring: known functions of the strengths, and a record of all that was asked."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []

    def __call__(self, asks: Sequence[Ask]) -> list[Outcome]:
        self.asked += asks
        return [self._outcome(ask) for ask in asks]

    def _outcome(self, ask: Ask) -> Outcome:
        s = ask.strengths
        width, sparsity, clusters = float(s.get("width", 1)), float(s["sparsity"]), int(s["clusters"])
        sparsity = 0.0 if sparsity < 0.3 else sparsity
        share = {"one-shot": 0.6, "short": 0.9, "long": 1.0}[ask.rung]
        hurt = 0.3 * (1 - width) ** 2 + 0.1 * sparsity**4 + (0.2 / clusters if clusters else 0)
        accuracy = 0.95 * share - hurt + (0.01 if s["qat"] else 0)
        size = 400_000 * width**2 * (1 - 0.6 * sparsity) * (0.6 if clusters else 1)
        return Outcome("channels/ptq", accuracy, int(size), measured(5 * width**1.8), seconds=1.0)


def of_its_own(trials: Sequence[Trial]) -> list[Trial]:
    """Those that were asked for, without what lay on their way."""
    return [trial for trial in trials if trial.on_the_way_of is None]


def a_study(goal: Goal, seed: int = 1, widest: float = 1.0, **more: Any) -> tuple[Study, Landscape]:
    land = Landscape()
    return Study(Space(widest), goal, land, seed, **more), land


def test_too_slow_trials_are_never_trained() -> None:
    study, land = a_study(Goal(Target(max_latency_ms=2.0), ACCURACY, 0.95))
    trials = study.run(12, None)
    slow = [trial for trial in trials if trial.state == "infeasible"]
    assert slow and all("latency" in trial.reason for trial in slow)
    trained = {ask.number for ask in land.asked if ask.rung != "one-shot"}
    assert trained.isdisjoint(trial.number for trial in slow)
    assert all(trial.interval_ms[1] <= 2.0 for trial in trials if trial.state == "finished" and trial.interval_ms)


def test_few_are_trained_to_the_end_and_those_are_among_the_better() -> None:
    study, land = a_study(Goal(Target(max_latency_ms=3.0, max_drop=0.05), ACCURACY, 0.95), widest=0.7)
    trials = study.run(24, None)
    own = {trial.number for trial in of_its_own(trials)}
    rungs = {
        rung: sum(ask.rung == rung for ask in land.asked if ask.number in own) for rung in ("one-shot", "short", "long")
    }
    assert rungs["one-shot"] == 24 > rungs["short"] > rungs["long"] >= 3
    chosen = winners(Goal(Target(max_latency_ms=3.0, max_drop=0.05), ACCURACY, 0.95), trials)[0]
    assert chosen.meets_target and chosen.gz_bytes is not None
    assert chosen.gz_bytes == min(t.gz_bytes or 0 for t in trials if t.state == "finished" and t.meets_target)


def test_the_same_seed_asks_the_same_and_a_longer_search_begins_like_a_shorter_one() -> None:
    goal = Goal(Target(max_drop=0.05), ACCURACY, 0.95)
    once, again, longer = (a_study(goal)[0].run(count, None) for count in (12, 12, 20))
    assert once == again == longer[: len(once)]
    assert a_study(goal, seed=2)[0].run(12, None) != once


def test_a_budget_ends_the_search_after_a_generation_at_least() -> None:
    seconds = iter(range(0, 10_000, 10))
    study, _ = a_study(Goal(Target(), ACCURACY, 0.95), clock=lambda: float(next(seconds)))
    trials = study.run(None, 120.0)
    assert GENERATION <= len(trials) < 40
    assert study.trials[-1].reason == "the budget was used up" or trials[-1].state in ("finished", "stopped")


def test_what_earlier_searches_found_is_known_and_a_search_that_goes_on_starts_from_the_same(tmp_path: Path) -> None:
    goal, space, store = Goal(Target(max_drop=0.05), ACCURACY, 0.95), Space(1.0), Store(tmp_path)
    first = Memory(store, "subject", "first")
    assert first.known(space) == []
    trials = a_study(goal, keep=first.keep)[0].run(8, None)
    second = Memory(store, "subject", "second")
    known = second.known(space)
    assert sorted(t.number for t in known) == [t.number for t in of_its_own(trials) if t.metric is not None]
    third = Memory(store, "subject", "third")
    third.keep(trials[0])
    assert second.known(space) == known
    assert Memory(store, "another model", "first").known(space) == []
    more = a_study(goal, known=known)[0].run(8, None)
    later, first_time = (([trial.strengths for trial in of_its_own(found)][GENERATION:]) for found in (more, trials))
    assert later != first_time


def test_a_search_that_trains_few_to_the_end_finds_smaller_files_than_chance_that_trains_all() -> None:
    goal = Goal(Target(max_latency_ms=3.0, max_drop=0.04), ACCURACY, 0.95)
    searched, drawn = [], []
    for seed in range(3):
        study, land = a_study(goal, seed=seed)
        trials = study.run(40, None)
        best, own = winners(goal, trials)[0], {trial.number for trial in of_its_own(trials)}
        trained = sum(ask.rung == "long" for ask in land.asked if ask.number in own)
        assert best.meets_target and trained < 25
        searched.append(best.gz_bytes or 0)
        drawn.append(min(one.gz_bytes or 0 for one in _drawn(40, seed) if _meets(one, goal)))
    assert sorted(searched)[1] < sorted(drawn)[1]


def _drawn(count: int, seed: int) -> list[Outcome]:
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    asks = [Ask(number, study.ask(Space(1.0).distributions()).params, "long") for number in range(count)]
    return Landscape()(asks)


def _meets(outcome: Outcome, goal: Goal) -> bool:
    assert outcome.measured is not None and outcome.measured.interval_ms is not None
    assert goal.target.max_latency_ms is not None and goal.target.max_drop is not None
    in_time = outcome.measured.interval_ms[1] <= goal.target.max_latency_ms
    return in_time and goal.source_metric - (outcome.metric or 0) <= goal.target.max_drop


def test_guesses_that_fit_are_trained_at_once_and_later_trials_are_not() -> None:
    study, land = a_study(Goal(Target(max_latency_ms=2.0), ACCURACY, 0.95), widest=0.5, guesses_fit=True)
    own = [trial.number for trial in of_its_own(study.run(8, None))]
    untrained = {ask.number for ask in land.asked if ask.rung == "one-shot"}
    assert untrained == set(own[GENERATION:])
    assert {ask.number for ask in land.asked if ask.rung == "short"} >= set(range(GENERATION))


def test_what_lies_on_the_way_of_a_trained_trial_is_scored_once_and_told_as_a_part_of_it() -> None:
    kept: list[Trial] = []
    study, land = a_study(Goal(Target(max_latency_ms=2.0), ACCURACY, 0.95), widest=0.5, keep=kept.append)
    trials = study.run(16, None)
    found = [trial for trial in trials if trial.on_the_way_of is not None]
    assert found and [trial.number for trial in trials] == list(range(len(trials)))
    for trial in found:
        assert trial.on_the_way_of is not None
        whole = trials[trial.on_the_way_of]
        assert (whole.state, whole.rung, trial.rung, trial.strengths["qat"]) == ("finished", "long", "long", False)
        assert trial.strengths["width"] == whole.strengths["width"]
    asked = [tuple(ask.strengths.items()) for ask in land.asked if ask.rung == "long"]
    assert len(asked) == len(set(asked)), "none is built twice"
    assert sorted(trial.number for trial in kept) == [trial.number for trial in of_its_own(trials)]


def test_on_a_board_few_rounds_do_not_end_a_trial_and_its_own_percentile_is_judged() -> None:
    """A draft is measured after the fewest rounds: that its interval straddles the limit is no reason to drop it."""
    target = Target(max_latency_ms=2.0, percentile="p90", evidence="measured")
    goal = Goal(target, ACCURACY, 0.95, "measured")
    cases = {(1.9, 2.1): ("finished", False), (2.1, 2.3): ("infeasible", False), (1.5, 1.9): ("finished", True)}
    for interval, (state, meets) in cases.items():
        found = measured(2.0).model_copy(
            update={
                "evidence": "measured", "interval_ms": interval, "percentile": "p90",
                "latency_ms": Latency(p50=1.8, p90=sum(interval) / 2, runs=9),
            }
        )  # fmt: skip

        def seen(asks: Sequence[Ask], found: Measurement = found) -> list[Outcome]:
            return [Outcome("channels/ptq", 0.9, 100, found) for _ in asks]

        trial = Study(Space(1.0), goal, seen, 1).run(1, None)[0]
        assert (trial.state, trial.meets_target) == (state, meets)


def test_a_search_with_nothing_to_turn_is_refused() -> None:
    named = {"epochs": 1.0, "distill": 0.0}
    space = Space(None, frozenset(), named)
    assert set(space.distributions()) == {"qat"}
    assert all(space.holds(guess) for guess in space.first_guesses())
    with pytest.raises(UsageError, match="nothing left to search"):
        Study(_Nothing(None), Goal(Target(), ACCURACY, 0.9), Landscape(), 1)


class _Nothing(Space):
    def distributions(self) -> dict[str, Any]:
        return {}


def test_a_search_is_known_again_by_another_process() -> None:
    program = (
        "from armopt.search.strengths.space import Space; from armopt.search.store import key_of; "
        "print(key_of(Space(0.7, named={'clusters': 8.0, 'epochs': 1.0}).identity))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(keys) == 1


@pytest.mark.parametrize("metric", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_fails_its_trial_and_reaches_no_json(metric: float) -> None:
    def diverged(asks: Sequence[Ask]) -> list[Outcome]:
        return [Outcome("ptq", metric if ask.number % 2 else 0.9, 100, measured(1.0)) for ask in asks]

    trials = Study(Space(None), Goal(Target(), ACCURACY, 0.9), diverged, 1).run(8, None)
    lost = [trial for trial in trials if trial.number % 2]
    assert {(trial.state, trial.reason) for trial in lost} == {("failed", "accuracy is not a number")}
    record = SearchRecord(seed=1, trials=tuple(trials)).model_dump()
    assert SearchRecord.model_validate_json(json.dumps(record, allow_nan=False)).trials == tuple(trials)


def test_progress_counts_every_trial_and_names_the_best_that_was_finished() -> None:
    told: list[Event] = []
    goal = Goal(Target(max_latency_ms=3.0), ACCURACY, 0.95)
    study, _ = a_study(goal, listener=told.append)
    trials = study.run(8, None)
    counted = [event for event in told if isinstance(event, SearchProgress)]
    own = len(of_its_own(trials))
    assert sorted({event.done for event in counted}) == list(range(own + 1)) == list(range(9))
    assert counted[-1].best == trial_figures(winners(goal, trials)[0], ACCURACY)
    lines = [event.text for event in told if isinstance(event, Note)]
    assert sorted(lines) == sorted(trial_line(trial, ACCURACY) for trial in trials)


def test_a_trained_trial_is_told_of_at_once_and_before_what_lies_on_its_way() -> None:
    told: list[Event] = []
    goal = Goal(Target(max_latency_ms=2.0), ACCURACY, 0.95)
    trials = a_study(goal, widest=0.5, listener=told.append, at_once=1)[0].run(8, None)
    lines = [event.text for event in told if isinstance(event, (Note, Doing))]
    for trial in trials:
        if trial.state == "finished" and trial.on_the_way_of is None:
            began = lines.index(f"search: trials {trial.number}, trained to the end")
            assert lines[began + 1] == trial_line(trial, ACCURACY)
        if trial.on_the_way_of is not None:
            whole = lines.index(trial_line(trials[trial.on_the_way_of], ACCURACY))
            assert whole < lines.index(trial_line(trial, ACCURACY))


def test_trials_that_time_cut_short_are_told_of_too() -> None:
    told: list[Event] = []
    seconds = iter(range(0, 10_000, 60))
    study, _ = a_study(Goal(Target(), ACCURACY, 0.95), clock=lambda: float(next(seconds)), listener=told.append)
    trials = study.run(None, 100.0)
    assert sum(isinstance(event, Note) for event in told) == len(trials)
    assert any(trial.reason == "the budget was used up" for trial in trials)


def test_a_budget_is_looked_at_between_trials() -> None:
    land = Landscape()
    trained = lambda: float(sum(ask.rung == "long" for ask in land.asked))  # noqa: E731
    study = Study(Space(1.0), Goal(Target(), ACCURACY, 0.95), land, 1, clock=trained, rungs=("one-shot", "long"),
                  at_once=1)  # fmt: skip
    trials = study.run(None, 5.0)
    assert [trial.state for trial in trials].count("finished") == 5
    assert any(trial.reason == "the budget was used up" for trial in trials)

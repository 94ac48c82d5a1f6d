"""`deploy --search`: finds strengths for the target, and hands on the tree of one path that is then built in full."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from armopt.core.errors import ConversionError, ModelError
from armopt.core.events import Listener, Note
from armopt.core.profile import Profile
from armopt.core.search_record import DEFAULT_TRIALS, Effort, SearchRecord, Sensitivity, Strength, Trial
from armopt.core.target import Target
from armopt.core.tree import stage_of
from armopt.preparing import Ready
from armopt.search.builder import Builder
from armopt.search.choose import Candidate, pareto
from armopt.search.nodes import NodeBuilder
from armopt.search.outlook import Outlook
from armopt.search.prospects import felt_stages
from armopt.search.runs import Runs
from armopt.search.store import Store, key_of
from armopt.search.strengths.evaluate import Evaluator, building
from armopt.search.strengths.known import Memory
from armopt.search.strengths.ladder import FULL_SHARE, rungs_of
from armopt.search.strengths.recipe import scheduled, with_qat
from armopt.search.strengths.sensitivity import sensitivities, touchable
from armopt.search.strengths.space import Space
from armopt.search.strengths.study import Study
from armopt.search.strengths.told import Goal, winners

# Raised whenever the same strengths would mean another model, or the sampler would ask otherwise.
REVISION = 4
# A winner on val that fails on test gives way to the next, so often.
_CANDIDATES = 3
_NAMED = ("width", "sparsity", "clusters", "distill")


@dataclass(frozen=True)
class Searched:
    """What came of a search.

    Attributes:
        record: its trials.
        plans: profiles of one path each with the full schedule, the best first, with QAT beside `ptq`; `ptq` alone
            where nothing was found.
        numbers: of the trials that they come from.
    """

    record: SearchRecord
    plans: tuple[Profile, ...]
    numbers: tuple[int | None, ...]

    def recorded(self, plan: Profile) -> SearchRecord:
        """The record, with the trial whose plan was built in the end."""
        return self.record.model_copy(update={"winner": self.numbers[self.plans.index(plan)]})


def search_strengths(
    ready: Ready,
    builder: NodeBuilder,
    plan: Profile,
    runs: Runs,
    outlook: Outlook,
    target: Target,
    effort: Effort,
    hands: Builder,
    named: dict[str, object],
) -> Searched:
    """Find strengths that meet the target, and make as good as can be what it leaves open.

    Args:
        ready: source, data and task.
        builder: of nodes on them.
        plan: settings that hold where the search says nothing; its stages are those that it may use.
        runs: the device.
        outlook: finds the widest model that the limits on speed allow.
        target: what to meet.
        effort: how long.
        hands: build trials: this process, or workers.
        named: settings that the user named.

    Raises:
        DeviceError: the device failed.
        UsageError: nothing is left to search.
    """
    began, store, listener = time.monotonic(), runs.store, runs.listener
    goal = Goal(target, ready.task.metric, builder.source_metric("val"), runs.evidence)
    seed = plan.settings_of("ptq").seed
    fixed: dict[str, Strength] = {key: float(str(named[key])) for key in _NAMED if key in named}
    if "epochs" in named:
        fixed["epochs"] = 1.0  # times the plan's, which they now are
    stages = _stages(plan)
    widest, hopeless = _widest(outlook, target, stages, listener, felt_stages(runs.device))
    if hopeless:
        listener(Note(f"nothing to search for: {hopeless}"))
        return _nothing(plan, SearchRecord(seed=seed, source_metric=_finite(goal.source_metric), trials=()))
    has_channels = widest is not None and "channels" in stages
    known = _Sensitivities(ready, plan, has_channels, store, builder, listener)
    space = Space(widest, stages, fixed, touchable(ready.source.model, plan.settings_of("channels")))
    subject = key_of("search", REVISION, builder.key("float"), runs.device.model_dump(), runs.threads, runs.identity)
    name = key_of(target.model_dump(), plan.model_dump(), space.identity, seed)
    memory = Memory(store, subject, name)
    before = memory.known(space)
    evaluate = Evaluator(plan, known, building(hands, builder, listener), runs.draft, fixed)
    rungs = rungs_of(_steps(plan, len(ready.data.train)))
    study = Study(
        space, goal, evaluate, seed, before, listener, memory.keep,
        rungs=rungs, at_once=hands.at_once, guesses_fit=goal.width_decides and "width" not in fixed,
    )  # fmt: skip
    left_s = None if effort.budget_s is None else effort.budget_s - (time.monotonic() - began)
    trials = study.run(effort.trials or (None if effort.budget_s else DEFAULT_TRIALS), left_s)
    best = winners(goal, trials)[:_CANDIDATES]
    record = SearchRecord(
        seed=seed,
        source_metric=_finite(goal.source_metric),
        trials=tuple(trials),
        pareto=_front(trials, goal),
        sensitivities=known.measured if effort.budget_s else known(),
        known_before=len(before),
        seconds=round(time.monotonic() - began, 2),
    )
    if not best:
        listener(Note("the search found no strengths that it could train to the end"))
        return _nothing(plan, record)
    recipes = (with_qat(trial.strengths, plan, known, fixed) for trial in best)
    plans = (scheduled(recipe, FULL_SHARE) for recipe in recipes)
    return Searched(record, tuple(plans), tuple(trial.number for trial in best))


def _nothing(plan: Profile, record: SearchRecord) -> Searched:
    """Where nothing was found, the model is only quantized, so that its figures say why."""
    return Searched(record, (plan.model_copy(update={"tree": ("ptq",), "speed_tree": ()}),), (None,))


def _steps(plan: Profile, samples: int) -> float:
    """Optimizer steps of a stage that is trained in full."""
    settings = plan.settings_of("channels")
    return max(float(settings.min_steps), settings.epochs * samples / settings.batch_size)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _stages(plan: Profile) -> frozenset[str]:
    return frozenset(stage_of(path) for path in (*plan.tree, *plan.speed_tree)) & {"channels", "prune", "cluster"}


def _widest(
    outlook: Outlook, target: Target, stages: frozenset[str], listener: Listener, felt: frozenset[str] = frozenset()
) -> tuple[float | None, str | None]:
    """The largest width worth trying, None where channels can't or mustn't be pruned; and why none is fast enough."""
    if not target.limits_cost or stages & felt:
        # Where the device feels zeros and few codes, trials find out how wide a model may be.
        return (1.0 if "channels" in stages else None), None
    if "channels" in stages:
        try:
            width, words = outlook.widest("channels", "channels/ptq")
        except (ModelError, ConversionError) as error:
            listener(Note(f"channels are not pruned: {error}"))
        else:
            if width is None:
                return None, words
            listener(Note(f"{width:.0%} of the channels may stay: {words}"))
            return width, None
    reason = outlook.why_too_slow("ptq")
    return None, f"'ptq' {reason}" if reason else None


class _Sensitivities:
    """Measured once for a model, its data and the layers that may be touched, when first asked for."""

    def __init__(
        self, ready: Ready, plan: Profile, has_channels: bool, store: Store, builder: NodeBuilder, listener: Listener
    ) -> None:
        self._ready, self._settings, self._has_channels = ready, plan.settings_of("channels"), has_channels
        self._store, self._listener = store, listener
        self._key = key_of("sensitivity", REVISION, builder.key("float"), self._settings.model_dump(), has_channels)
        self.measured: tuple[Sensitivity, ...] = ()

    def __call__(self) -> tuple[Sensitivity, ...]:
        self.measured = self.measured or self._found()
        return self.measured

    def _found(self) -> tuple[Sensitivity, ...]:
        entry = self._store.get(self._key)
        if entry is None:
            self._listener(Note("measuring how sensitive each layer is, once"))
            source, data, task = self._ready.source, self._ready.data, self._ready.task
            found = sensitivities(source.model, data, task, self._settings, self._has_channels, self._listener)
            record = {"kind": "sensitivity", "node": "", "model": source.name, "seconds": 0.0}
            entry = self._store.put(self._key, lambda folder: {**record, "found": [one.model_dump() for one in found]})
        return tuple(Sensitivity.model_validate(one) for one in entry.record["found"])


def _front(trials: Sequence[Trial], goal: Goal) -> tuple[int, ...]:
    """Numbers of the finished trials that no other beats in metric, size and latency."""
    figures = [
        Candidate(str(trial.number), trial.metric, trial.gz_bytes, trial.known_latency_ms)
        for trial in trials
        if trial.state == "finished" and trial.metric is not None and trial.gz_bytes is not None
    ]
    return tuple(int(number) for number in pareto(figures, goal.metric))

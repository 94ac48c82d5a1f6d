"""Builds and measures trials: an untrained file first, which tells latency and size, then trained for the rung."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from armopt.core.errors import ConversionError, ModelError
from armopt.core.events import Event, Listener, TrainingStep, silent
from armopt.core.profile import Profile
from armopt.core.records import Measurement
from armopt.core.search_record import Rung, Strength
from armopt.search.builder import Builder, Built, Scoring
from armopt.search.nodes import NodeBuilder
from armopt.search.strengths.ladder import SHARE_OF_TRAINING
from armopt.search.strengths.recipe import Known, Recipe, recipe_of, scheduled

# What is compared is the .tflite on val; the float models between are not scored.
ON_VAL = Scoring(splits=("val",), float_models=False)


@dataclass(frozen=True)
class Ask:
    """One trial to be evaluated at one rung."""

    number: int
    strengths: Mapping[str, Strength]
    rung: Rung


@dataclass(frozen=True)
class Outcome:
    """What came of it; `error` says why nothing did."""

    path: str
    metric: float | None = None
    gz_bytes: int | None = None
    measured: Measurement | None = None
    seconds: float = 0.0
    error: str = ""


BuildAll = Callable[[Sequence[tuple[Profile, str]]], "Sequence[Built | ModelError | ConversionError]"]
"""Builds nodes, each the leaf of its own profile's tree, in any order and answers in the given one."""


class Evaluator:
    """Evaluates trials of one search.

    Args:
        plan: profile whose settings hold where the strengths say nothing.
        known: tells how sensitive layers are, where a trial depends on it.
        build_all: builds the leaves of profiles under `ON_VAL`.
        measure: runs a built file on the device; one after the other.
        named: strengths that hold for all trials.
    """

    def __init__(
        self,
        plan: Profile,
        known: Known,
        build_all: BuildAll,
        measure: Callable[[Built], Measurement],
        named: Mapping[str, Strength],
    ) -> None:
        self._build_all, self._measure = build_all, measure
        self._recipe: Callable[[Mapping[str, Strength]], Recipe] = lambda strengths: recipe_of(
            strengths, plan, known, named
        )
        self._speeds: dict[int, Measurement] = {}

    def __call__(self, asks: Sequence[Ask]) -> list[Outcome]:
        """Figures of all that is asked, in its order.

        Raises:
            DeviceError: the device failed.
        """
        recipes = [self._recipe(ask.strengths) for ask in asks]
        jobs = [
            (scheduled(recipe, SHARE_OF_TRAINING[ask.rung]), recipe.path)
            for ask, recipe in zip(asks, recipes, strict=True)
        ]
        return [
            self._outcome(ask, recipe.path, built)
            for ask, recipe, built in zip(asks, recipes, self._build_all(jobs), strict=True)
        ]

    def _outcome(self, ask: Ask, path: str, built: Built | ModelError | ConversionError) -> Outcome:
        if not isinstance(built, Built):
            return Outcome(path, error=str(built))
        assert built.audit is not None
        known = self._speeds.get(ask.number)
        if known is None or known.npu is not None:
            # Training changes no shape: what a CPU took for the untrained file holds. An Ethos-U feels weights.
            self._speeds[ask.number] = self._measure(built)
        return Outcome(
            path, built.metrics["int8_val"], built.audit.gz_bytes, self._speeds[ask.number], built.entry.seconds
        )


def building(hands: Builder, builder: NodeBuilder, listener: Listener = silent) -> BuildAll:
    """Builds trials with the run's hands, be they this process or workers; `listener` is told of their steps."""

    def steps(event: Event) -> None:
        if isinstance(event, TrainingStep):
            listener(event)

    return lambda jobs: hands.build_each(
        [(builder.apart(ON_VAL, profile=profile, listener=steps), path) for profile, path in jobs]
    )

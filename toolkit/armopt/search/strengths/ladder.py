"""Trains many a little and few to the end: which trials go on to the next rung. Pure.

Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", section 3),
with non-dominated sorting in place of one loss, and in generations of a fixed size, so that what goes on does not
depend on how many workers there are or which of them is faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from armopt.core.records import Metric
from armopt.core.search_record import RUNGS, Rung
from armopt.search.choose import Candidate, pareto

# Share of all trials seen at a rung that go on from it. Untrained accuracy says little, so that few are stopped by it.
GOES_ON: Mapping[Rung, float] = {"one-shot": 0.75, "short": 0.5}
# Share of a trial's training at each rung, and of the one that is trained in full at the end.
SHARE_OF_TRAINING: Mapping[Rung, float] = {"one-shot": 0.0, "short": 0.25, "long": 1.0}
FULL_SHARE = 2.0
FEWEST_STEPS = 100


@dataclass(frozen=True)
class Standing:
    """A trial's figures at one rung.

    Attributes:
        number: of the trial.
        metric: on val.
        gz_bytes: compressed size.
        latency_ms: None where not observed.
    """

    number: int
    metric: float
    gz_bytes: int
    latency_ms: float | None


def rungs_of(steps: float) -> tuple[Rung, ...]:
    """The rungs worth standing on where a trial trains so many steps in full: after a few, all are as bad."""
    return tuple(rung for rung in RUNGS if rung != "short" or steps * SHARE_OF_TRAINING["short"] >= FEWEST_STEPS)


def next_rung(rung: Rung, rungs: Sequence[Rung] = RUNGS) -> Rung | None:
    """The rung above; None at the top."""
    place = rungs.index(rung) + 1
    return rungs[place] if place < len(rungs) else None


def going_on(rung: Rung, seen: Sequence[Standing], fresh: Sequence[int], metric: Metric) -> list[int]:
    """Numbers of the `fresh` trials that are among the best of all that were `seen` at the rung, in their order.

    Untrained, all go on while there is nothing to compare them with but one another.
    """
    if rung == "one-shot" and len(seen) == len(fresh):
        return list(fresh)
    room = math.ceil(len(seen) * GOES_ON[rung])
    best = set(ranked(seen, metric)[:room])
    return [number for number in fresh if number in best]


def ranked(seen: Sequence[Standing], metric: Metric) -> list[int]:
    """Numbers, the best first: by fronts that no later one beats in metric, size and latency, then by the metric."""
    left, order = {str(one.number): one for one in seen}, []
    while left:
        front = pareto([Candidate(k, o.metric, o.gz_bytes, o.latency_ms) for k, o in left.items()], metric)
        sign = -1 if metric.higher_is_better else 1
        order += sorted((left.pop(key) for key in front), key=lambda one: (sign * one.metric, one.gz_bytes, one.number))
    return [one.number for one in order]

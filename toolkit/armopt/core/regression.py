"""Whether a model became slower on a board, by two measurements of it: raw values against raw values. Pure.

A round, which is one fresh process, counts as one observation however many inferences it timed: they resemble one
another. Rounds that follow one another may do so, too, so the spread of their mean is that of a first-order
autoregressive series whose correlation is estimated from both measurements. docs/adr/021-baselines.md says how often
this is wrong, and benchmarks/baselines.py measures it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from scipy.special import stdtrit

from armopt.core.quantiles import ALLOWED_OVER, Rounds, quantile
from armopt.core.records import Percentile

# The stated share of false alarms. It falls to the strict one where the rounds tell enough to find a difference of
# `FOUND` nonetheless: the critical value lies half-way between no difference and that one.
ALPHA, STRICT_ALPHA = 0.05, 0.01
FOUND = 0.05
# Differences that timers and schedulers make in models of microseconds.
SMALLEST_MS = 0.02
# With fewer the correlation of rounds can't be told; with a stronger one 30 rounds are worth three at most.
FEWEST_ROUNDS = 6
_MOST_CORRELATION = 0.8
# Median absolute deviations beyond which a round is pulled in: a stray process must not hide or make a regression.
_OUTLIER = 3.0


@dataclass(frozen=True)
class Difference:
    """How much slower the second measurement is.

    Attributes:
        before_ms: percentile of the first, typical of its rounds.
        after_ms: of the second.
        relative: (after - before) / before.
        low: lower end of where `relative` lies, wrong with probability `ALPHA`.
        high: upper end, likewise.
        correlation: of rounds that follow one another.
        certain: it is slower, and not by chance.
    """

    before_ms: float
    after_ms: float
    relative: float
    low: float
    high: float
    correlation: float
    certain: bool

    @property
    def wanders(self) -> bool:
        """The level moves about so slowly that these rounds are worth a few only."""
        return self.correlation > _MOST_CORRELATION


def of_rounds(rounds: Rounds, percentile: Percentile) -> list[float]:
    """The percentile of each round that timed anything, in ms."""
    share = 1 - ALLOWED_OVER[percentile]
    return [quantile([one], share) for one in rounds if len(one)]


def difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    """Compare two measurements by one positive value a round, in the order of time.

    Args:
        before: milliseconds, `FEWEST_ROUNDS` at least.
        after: likewise.

    Raises:
        ValueError: too few values.
    """
    if min(len(before), len(after)) < FEWEST_ROUNDS:
        raise ValueError(f"{min(len(before), len(after))} rounds are too few to compare")
    sides = [_pulled_in([math.log(max(value, 1e-9)) for value in side]) for side in (before, after)]
    means = [fmean(side) for side in sides]
    correlation = _correlation(sides, means)
    variance = _variance(sides, means, correlation)
    error = math.sqrt(variance * sum(_of_mean(len(side), correlation) for side in sides))
    worth = sum(map(len, sides)) * (1 - correlation) / (1 + correlation)
    freedom = max(worth - 2, 1.5)
    usual, strict = (float(stdtrit(freedom, 1 - alpha)) for alpha in (ALPHA, STRICT_ALPHA))
    shift = means[1] - means[0]
    half_way = math.log1p(FOUND) / (2 * error) if error else math.inf
    return Difference(
        before_ms=math.exp(means[0]),
        after_ms=math.exp(means[1]),
        relative=math.expm1(shift),
        low=math.expm1(shift - usual * error),
        high=math.expm1(shift + usual * error),
        correlation=correlation,
        certain=shift > min(max(half_way, usual), strict) * error,
    )


def _pulled_in(values: list[float]) -> list[float]:
    """The values, those far from the others brought nearer (Winsor)."""
    middle = median(values)
    reach = _OUTLIER * 1.4826 * median(abs(value - middle) for value in values)
    return [min(max(value, middle - reach), middle + reach) for value in values]


def _correlation(sides: Sequence[Sequence[float]], means: Sequence[float]) -> float:
    """Of values that follow one another, of both sides together: 0 to 0.95.

    Estimates from n values are too low by (1 + 4 r) / n in the mean (Kendall, 1954), which is made up for.
    """
    products, squares = 0.0, 0.0
    for side, mean in zip(sides, means, strict=True):
        apart = [value - mean for value in side]
        products += sum(one * following for one, following in pairwise(apart))
        squares += sum(one * one for one in apart)
    if squares == 0:
        return 0.0
    count = sum(map(len, sides)) / len(sides)
    return min(max((products / squares + 1 / count) / (1 - 4 / count), 0.0), 0.95)


def _of_mean(count: int, correlation: float) -> float:
    """The variance of the mean of a first-order series of variance 1."""
    return (1 + 2 * sum((1 - lag / count) * correlation**lag for lag in range(1, count))) / count


def _variance(sides: Sequence[Sequence[float]], means: Sequence[float], correlation: float) -> float:
    """Of one value, by the deviations from the mean of its side, which take part of it away."""
    squares = sum((value - mean) ** 2 for side, mean in zip(sides, means, strict=True) for value in side)
    return squares / sum(len(side) * (1 - _of_mean(len(side), correlation)) for side in sides)

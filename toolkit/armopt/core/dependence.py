"""How many independent inferences some rounds are worth: timings that follow one another resemble one another."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist, fmean, pvariance, variance

from armopt.core.quantiles import Rounds, quantile, share_over

# The spread between rounds is known from few of them: it is taken at the upper end of its interval, at this level.
_LEVEL = 0.05


def effective_samples(rounds: Rounds, share: float) -> float:
    """The number of independent inferences that say as much as these rounds.

    A round is worth one at least, whatever happens inside it. It is worth more where rounds differ no more from one
    another than independent inferences would make them: the design effect of cluster sampling (Kish, Survey Sampling,
    1965), at the upper end of its interval. All are worth less where the end of a round resembles the start of the
    next one, since then rounds follow one another, too: (1 - r) / (1 + r), as for the mean of a first-order series.

    Args:
        rounds: at least two, in the order of time, none empty.
        share: the quantile that is asked for, between 0 and 1. Rounds are compared there and at the median, where
            small numbers of inferences show a dependence best.
    """
    ordered = [sorted(one) for one in rounds]
    median = quantile(ordered, 0.5)
    within = min(_by_spread(ordered, median), _by_spread(ordered, quantile(ordered, share)))
    resemblance = _resemblance(rounds, median)
    return max(float(len(rounds)), within) * (1 - resemblance) / (1 + resemblance)


def _by_spread(ordered: Rounds, cut: float) -> float:
    """Independent inferences by the spread between rounds of the share above `cut`."""
    count = len(ordered)
    most = count**2 / sum(1 / len(one) for one in ordered)
    over = [share_over(one, cut) for one in ordered]
    mean, spread = fmean(over), variance(over)
    samples = most if spread == 0 else min(most, count * mean * (1 - mean) / spread)
    return samples * _chi_squared(count - 1, _LEVEL) / (count - 1)


def _resemblance(rounds: Rounds, cut: float) -> float:
    """Correlation, 0 to 0.99, of each round's second half with the first half of the round that follows.

    By the mean square of successive differences (von Neumann, 1941). An estimate from few rounds is too low by about
    one over their number, which is added.
    """
    halves = [max(1, len(one) // 2) for one in rounds]
    first = [_share_over(one[:half], cut) for one, half in zip(rounds, halves, strict=True)]
    last = [_share_over(one[-half:], cut) for one, half in zip(rounds, halves, strict=True)]
    spread = 2 * pvariance(first + last)
    if spread == 0:
        return 0.0
    jumps = fmean((after - before) ** 2 for before, after in zip(last[:-1], first[1:], strict=True))
    return min(max(1 - jumps / spread + 1 / len(rounds), 0.0), 0.99)


def _share_over(values: Sequence[float], cut: float) -> float:
    return sum(value > cut for value in values) / len(values)


def _chi_squared(freedom: int, level: float) -> float:
    """The quantile of chi-squared (Wilson and Hilferty, 1931; within 1.5% at 0.05 from five degrees on)."""
    step: float = 2 / (9 * freedom)
    root: float = 1 - step + NormalDist().inv_cdf(level) * step**0.5
    return freedom * max(0.0, root) ** 3

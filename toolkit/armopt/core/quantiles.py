"""Quantiles of latencies that were timed in rounds: each round is one process and weighs as much as any other.

A slow process times fewer inferences in the same seconds. Pooled as they are, its inferences would count for less.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import chain

from armopt.core.records import Latency, Percentile

Rounds = Sequence[Sequence[float]]

# The share of inferences that a percentile lets take longer; `max` lets none.
ALLOWED_OVER: dict[Percentile, float] = {"p50": 0.5, "p90": 0.1, "p95": 0.05, "max": 0.0}
_ROUNDING = 1e-9  # of shares that are added up


def share_over(ordered: Sequence[float], limit_ms: float) -> float:
    """The share of a round (in ascending order, not empty) that took longer than `limit_ms`."""
    return 1 - bisect_right(ordered, limit_ms) / len(ordered)


def mean_share_over(ordered: Rounds, limit_ms: float) -> float:
    """The share of all inferences that took longer than `limit_ms`; every round is in ascending order."""
    return sum(share_over(one, limit_ms) for one in ordered) / len(ordered)


def quantile(rounds: Rounds, share: float) -> float:
    """The smallest timed value that at least `share` of all inferences took at most; each round weighs the same.

    Args:
        rounds: milliseconds; no round is empty.
        share: 0 to 1.
    """
    ordered = [sorted(one) for one in rounds]
    values = sorted(chain.from_iterable(ordered))
    allowed = 1 - share + _ROUNDING
    position = bisect_left(values, True, key=lambda value: mean_share_over(ordered, value) <= allowed)
    return values[position]


def summarise(rounds: Rounds) -> Latency:
    """The latency of all rounds together. Outliers are in it: nothing is dropped.

    Raises:
        ValueError: no inference was timed.
    """
    timed = [one for one in rounds if len(one)]
    if not timed:
        raise ValueError("no inference was timed")
    return Latency(
        p50=quantile(timed, 0.5),
        p90=quantile(timed, 0.9),
        p95=quantile(timed, 0.95),
        max=max(max(one) for one in timed),
        runs=sum(len(one) for one in timed),
    )

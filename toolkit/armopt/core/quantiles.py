"""Quantiles of latencies that were timed in rounds: each round is one process and weighs as much as any other.

A slow process times fewer inferences in the same seconds. Pooled as they are, its inferences would count for less.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from armopt.core.records import Latency, Percentile

Rounds = Sequence[Sequence[float]]

# The share of inferences that a percentile lets take longer; `max` lets none.
ALLOWED_OVER: dict[Percentile, float] = {"p50": 0.5, "p90": 0.1, "p95": 0.05, "max": 0.0}


def share_over(sorted_round: Sequence[float], limit_ms: float) -> float:
    """The share of a round (in ascending order, not empty) that took longer than `limit_ms`."""
    return 1 - bisect_right(sorted_round, limit_ms) / len(sorted_round)


def quantile(rounds: Rounds, share: float) -> float:
    """The smallest timed value that at least `share` of all inferences took at most; each round weighs the same.

    Args:
        rounds: milliseconds; no round is empty.
        share: 0 to 1.
    """
    weighed = sorted((value, 1 / len(one)) for one in rounds for value in one)
    wanted = share * len(rounds) * (1 - 1e-9)  # the weights are added up with rounding errors
    reached = 0.0
    for value, weight in weighed:
        reached += weight
        if reached >= wanted:
            return value
    return weighed[-1][0]


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

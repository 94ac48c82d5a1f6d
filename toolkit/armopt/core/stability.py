"""Whether rounds of a measurement are of one kind: no drift, no two levels, no throttling. Pure.

Statistics over rounds that change meanwhile say nothing of the next round. What is found here is no verdict on the
limit but on the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist, fmean, median

from armopt.core.quantiles import Rounds
from armopt.core.record import Record

# Changes over the rounds, relative to the latency: what does not count as a drift, what makes a certain one unstable,
# the widest spread between rounds, the largest change of the clock (docs/adr/020-measuring-on-a-board.md).
STILL = 0.01
UNSTABLE = 0.05
MOST_SPREAD = 0.10
CLOCK_CHANGE = 0.02
# Levels of the trend test: to hold a verdict back, and to call the measurement unstable.
_SUSPECTED, _CERTAIN = 0.05, 0.01
# Five rounds in ascending order do so by chance in one of 60 cases, six in one of 360.
_FEWEST = 6
_TICK_MS = 1e-6  # of the clock that times inferences


class Conditions(Record):
    """What the board said of itself while it was measured; None and () where it can't tell."""

    throttled: bool | None = None
    clocks_mhz: tuple[float, ...] = ()


class Stability(Record):
    """How the rounds behave.

    Attributes:
        stable: None while too few rounds tell.
        trend: 1 while latency rises, -1 while it falls, else 0; a verdict waits for the end of it.
        reason: why the measurement is unstable, in words; None where it is not.
    """

    stable: bool | None
    trend: int = 0
    reason: str | None = None


def stability(rounds: Rounds, conditions: Conditions, *, last: bool) -> Stability:
    """Look for throttling, a drift, two levels or a wide spread, by the medians of the rounds, in the order of time.

    Args:
        rounds: milliseconds; none is empty.
        conditions: what the board said of itself.
        last: no further round will tell whether a trend ends, so that one that goes on makes them unstable.
    """
    told = _told(conditions)
    if told:
        return Stability(stable=False, reason=told)
    levels = [median(one) for one in rounds]
    if len(levels) < _FEWEST:
        return Stability(stable=None)
    third = len(levels) // 3
    before, after = median(levels[:third]), median(levels[-third:])
    change, chance = (after - before) / max(before, _TICK_MS), trend_chance(levels)
    suspected = chance < _SUSPECTED and abs(change) > STILL
    certain = chance < _CERTAIN and abs(change) > UNSTABLE
    drift = _drift(before, after, len(levels)) if certain or (last and suspected) else None
    reason = drift or _two_levels(levels) or _wide(levels, rounds)
    trend = 0 if not suspected else 1 if change > 0 else -1
    return Stability(stable=reason is None, trend=trend, reason=reason)


def trend_chance(levels: Sequence[float]) -> float:
    """The chance of a trend as strong as this in levels without one, by the test of Mann (1945) and Kendall."""
    count = len(levels)
    pairs = [(later > earlier) - (later < earlier) for i, earlier in enumerate(levels) for later in levels[i + 1 :]]
    score = abs(sum(pairs)) - 1
    if score <= 0:
        return 1.0
    deviation = (count * (count - 1) * (2 * count + 5) / 18) ** 0.5
    return 2 * (1 - NormalDist().cdf(score / deviation))


def _told(conditions: Conditions) -> str | None:
    if conditions.throttled:
        return "the board throttled itself while it was measured"
    clocks = [clock for clock in conditions.clocks_mhz if clock > 0]
    if clocks and max(clocks) - min(clocks) > CLOCK_CHANGE * max(clocks):
        return f"the clock changed between {min(clocks):,.0f} and {max(clocks):,.0f} MHz"
    return None


def _drift(before: float, after: float, count: int) -> str:
    word = "rose" if after > before else "fell"
    return f"latency {word} from {before:.3g} to {after:.3g} ms over {count} rounds"


def _two_levels(levels: Sequence[float]) -> str | None:
    """Two groups of at least two rounds, further apart than either is wide and than a steady board's rounds are."""
    ordered = sorted(levels)
    for size in range(2, len(ordered) - 1):
        low, high = ordered[:size], ordered[size:]
        gap = high[0] - low[-1]
        if gap > MOST_SPREAD * low[-1] and gap > max(low[-1] - low[0], high[-1] - high[0]):
            return f"rounds lie at two levels, {median(low):.3g} and {median(high):.3g} ms"
    return None


def _wide(levels: Sequence[float], rounds: Rounds) -> str | None:
    """A spread between rounds that the spread inside them does not explain."""
    middle = max(median(levels), _TICK_MS)
    between = _deviation(levels)
    if between <= MOST_SPREAD * middle:
        return None
    # A median of n values scatters by 1.25 standard deviations over the root of n.
    explained = 1.2533 * median(_deviation(one) for one in rounds) / fmean(len(one) for one in rounds) ** 0.5
    spread = max(between**2 - explained**2, 0.0) ** 0.5 / middle
    return f"rounds differ from one another by {spread:.0%}" if spread > MOST_SPREAD else None


def _deviation(values: Sequence[float]) -> float:
    """The standard deviation, estimated from the median absolute deviation, which outliers do not move."""
    middle = median(values)
    return 1.4826 * median(abs(value - middle) for value in values)

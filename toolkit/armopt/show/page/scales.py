"""Linear axes in per cent of a chart: text and marks keep their size while the chart follows the width of a screen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Of the range, left free at both ends, so that marks are not cut.
_MARGIN = 0.08
# No axis is finer than this share of its values: equal values stand in the middle of one.
_FINEST = 0.02


@dataclass(frozen=True)
class Tick:
    """One mark of an axis: where, as per cent, and what it says."""

    at: str
    words: str


@dataclass(frozen=True)
class Scale:
    """From `low` at 0% to `high` at 100%, or the other way round where it is `upright` (a page's y points down)."""

    low: float
    high: float
    upright: bool = False

    def at(self, value: float) -> str:
        """'37.5%'; values beyond the ends stand on them."""
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return percent(1 - share if self.upright else share)

    def ticks(self, most: int = 5) -> tuple[Tick, ...]:
        """Round values between the ends, all with the same number of decimals."""
        from matplotlib.ticker import MaxNLocator

        places = [
            float(place) for place in MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        ]
        step = places[1] - places[0]
        # 2.5 needs one more decimal than its own magnitude.
        decimals = next((n for n in range(7) if math.isclose(round(step, n), step, rel_tol=1e-6)), None)
        inside = [place for place in places if self.low <= place <= self.high]
        form = ".4g" if decimals is None else f",.{decimals}f"
        return tuple(Tick(self.at(place), f"{place + 0.0:{form}}") for place in inside)


def scale_of(values: Iterable[float], *, upright: bool = False, from_zero: bool = False) -> Scale | None:
    """An axis that holds all the values, with a margin; None where there are none. What is not finite is left out."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None
    low, high = (0.0 if from_zero else min(known)), max(known)
    least = _FINEST * max(abs(low), abs(high)) or 1.0
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    margin = _MARGIN * (high - low)
    bottom = low - margin
    return Scale(max(bottom, 0.0) if low >= 0 else bottom, high + margin, upright)


def percent(share: float) -> str:
    """0.375 -> '37.5%'."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"

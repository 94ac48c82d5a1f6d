"""Timings of a few shapes on one board -> the terms of the latency model for that board, and an interval. Pure.

The equation is linear in its terms (`features.py`), so a shape's time is a row of milliseconds per unit of each term. A
few shapes can't tell all terms, and must not move what they do not tell: the new terms are the old ones times factors
that are drawn to 1, as if the old terms were one more, less certain, observation of each (a Gaussian prior). None
becomes negative, and a term that was 0 stays so. Errors beyond what the model is good for count by their size and not
by its square (Huber 1964), so that one shape that the model gets wrong does not bend all terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.calibration import Calibration, Terms

Array = NDArray[np.float64]

# The model's own error (one standard deviation) on a core that it was fitted for: 90% of networks left out are within a
# factor of 1.06 to 1.11 there (docs/latency-model.md).
_MODEL_ERROR = 0.05
# How far a board's terms may lie from the kind's, each by itself and, for all that the core's clock moves, together.
# Judgements: terms of the fitted cores differ by 1.8 at most (docs/latency-model.md), clocks of one kind by less.
_ALONE, _TOGETHER = 0.3, 0.5
_CLOCKED = tuple(name for name in Terms.model_fields if name != "line")
_HUBER = 1.5
_ROUNDS = 12
_SHARE = 0.9
# Networks are harder than single shapes; their own figure is 1.06 to 1.11, see above.
FLOOR = 1.1
FEW = 8


@dataclass(frozen=True)
class Timed:
    """One shape's timings.

    Attributes:
        name: of the file.
        shape: shapes are left out together when the fit is judged, whatever the number format.
        units: (terms,) ms that one unit of each term gives, in the order of `Terms`.
        measured_ms: the median.
        spread: the factor either way of the median that holds 90% of the runs.
    """

    name: str
    shape: str
    units: tuple[float, ...]
    measured_ms: float
    spread: float = 1.0


@dataclass(frozen=True)
class Refined:
    """Refined terms and how well they say what was timed.

    Attributes:
        terms: the new ones, in the order of `Terms`.
        told: (terms,) how much of each the timings told, 0 to 1; the rest is the old one's.
        before_ms, after_ms, left_out_ms: of each timing: by the old terms, by the new ones, and by terms that were
            fitted without its shape.
        factor: the interval's half width, as a factor either way.
        reason: what the factor comes from, in words.
    """

    terms: tuple[float, ...]
    told: tuple[float, ...]
    before_ms: tuple[float, ...]
    after_ms: tuple[float, ...]
    left_out_ms: tuple[float, ...]
    factor: float
    reason: str


def summarise(name: str, shape: str, units: Sequence[float], raw_ms: Sequence[Sequence[float]]) -> Timed:
    """A shape's raw timings, one list a process, as one figure: the median of the processes' medians.

    A wild run moves no median, a wild process no median of three.
    """
    median = float(np.median([np.median(runs) for runs in raw_ms]))
    ratios = np.concatenate([np.asarray(runs, float) for runs in raw_ms]) / median
    return Timed(name, shape, tuple(units), median, math.exp(float(np.quantile(np.abs(np.log(ratios)), _SHARE))))


def refine(timed: Sequence[Timed], base: Calibration) -> Refined:
    """Terms for the board that `timed` are of, starting from `base`; at least one timing.

    Args:
        timed: timings that `base` holds for: its kernels, its numbers, its threads.
        base: what is known of the kind of board.
    """
    old = np.array([getattr(base, name) for name in Terms.model_fields])
    units, measured = np.array([one.units for one in timed]), np.array([one.measured_ms for one in timed])
    factors, told = _fit(units * old / measured[:, None])
    left_out = np.empty(len(timed))
    for shape in dict.fromkeys(one.shape for one in timed):
        inside = np.array([one.shape == shape for one in timed])
        without = _fit((units * old / measured[:, None])[~inside])[0]
        left_out[inside] = units[inside] @ (old * without)
    factor, reason = _factor(timed, left_out, base)
    return Refined(
        terms=tuple((old * factors).tolist()),
        told=tuple(told.tolist()),
        before_ms=tuple((units @ old).tolist()),
        after_ms=tuple((units @ (old * factors)).tolist()),
        left_out_ms=tuple(left_out.tolist()),
        factor=factor,
        reason=reason,
    )


def _fit(shares: Array) -> tuple[Array, Array]:
    """Factors of the old terms, and how much of each was told.

    Args:
        shares: (timings, terms) what each old term adds to a timing, over what was measured; factors should make each
            row's sum 1.
    """
    count = shares.shape[1]
    clocked = np.array([name in _CLOCKED for name in Terms.model_fields], float)
    loose = np.outer(clocked, clocked) + np.diag(1 - clocked)
    drawn = np.linalg.inv(_ALONE**2 * np.eye(count) + _TOGETHER**2 * loose)
    factors, weights = np.ones(count), np.ones(len(shares))
    normal = drawn
    for _ in range(_ROUNDS):
        weighted = shares.T * (weights / _MODEL_ERROR**2)
        normal = weighted @ shares + drawn
        right = np.asarray(weighted.sum(axis=1) + drawn.sum(axis=1), np.float64)
        factors = _never_negative(np.asarray(normal, np.float64), right, factors)
        off = np.abs(shares @ factors - 1) / (_HUBER * _MODEL_ERROR)
        weights = 1 / np.maximum(off, 1)
    # Of what was uncertain before, what is certain now.
    told = 1 - np.diag(np.linalg.inv(normal)) / np.diag(np.linalg.inv(drawn))
    return factors, told


def _never_negative(normal: Array, right: Array, start: Array) -> Array:
    """The x >= 0 that makes x'Nx/2 - r'x least, by coordinates: N is positive definite, so they settle."""
    x = start.copy()
    for _ in range(2000):
        largest = 0.0
        for index in range(len(x)):
            moved = max(0.0, x[index] + (right[index] - normal[index] @ x) / normal[index, index])
            largest = max(largest, abs(moved - x[index]))
            x[index] = moved
        if largest < 1e-10:
            break
    return x


def _factor(timed: Sequence[Timed], left_out: Array, base: Calibration) -> tuple[float, str]:
    """The interval's half width: what 90% of shapes left out were within, and what it must not fall below."""
    # A term that came out as 0 may leave nothing of a shape: that is a factor of 1,000, not infinity.
    errors = [abs(math.log(max(ms / one.measured_ms, 1e-3))) for one, ms in zip(timed, left_out, strict=True)]
    off, spread = _held(errors), _held([math.log(one.spread) for one in timed])
    words = f"90% of shapes left out were within {off - 1:.0%}"
    least = [
        (FLOOR, f"no narrower than {FLOOR - 1:.0%}, since networks are harder than single shapes"),
        (spread, f"no narrower than the timings' own spread, {spread - 1:.0%}"),
    ]
    if len(timed) < FEW:
        words += "; few data"
        least.append((max(1 / base.low, base.high), "no narrower than the board kind's own"))
    bound, why = max(least)
    return (off, words) if off >= bound else (bound, f"{words}; {why}")


def _held(errors: Sequence[float]) -> float:
    """The factor that holds 90% of these logarithms, with the usual step up for few of them."""
    ordered = sorted(errors)
    rank = min(len(ordered), math.ceil(_SHARE * (len(ordered) + 1)))
    return math.exp(ordered[rank - 1])

"""Fits the latency model's terms to published figures, and says how wrong it is about what it has not seen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]
Key = Callable[["Row"], str]

_ROUNDS = 8
_SMALLEST_ERROR = 0.02  # below it all errors count alike: figures are no better than that


@dataclass(frozen=True)
class Row:
    """A published figure, and the ms that one unit of each term gives for it (of `Features.design`, summed)."""

    model: str
    family: str
    dtype: str
    published_ms: float
    units: tuple[float, ...]


@dataclass(frozen=True)
class Shape:
    """A form of the model: which terms exist, which of them are one and the same, and what they are without figures.

    `columns[i]` lists the terms that coefficient i multiplies; `prior[i]` is what it is drawn towards, `pull` how
    strongly (0: not at all). A term in no column is 0.
    """

    name: str
    columns: tuple[tuple[int, ...], ...]
    prior: tuple[float, ...]
    pull: float

    def matrix(self, rows: Sequence[Row]) -> Array:
        """(rows, coefficients) ms per unit of each coefficient."""
        units = np.array([row.units for row in rows])
        return np.stack([units[:, list(column)].sum(axis=1) for column in self.columns], axis=1)

    def terms(self, coefficients: Array, count: int) -> Array:
        """(count,) the model's terms."""
        found = np.zeros(count)
        for column, value in zip(self.columns, coefficients, strict=True):
            found[list(column)] = value
        return found


def fit(shape: Shape, rows: Sequence[Row]) -> Array:
    """Coefficients, none negative, that make the relative errors small in the mean (not the square: rows can be off).

    Each coefficient is drawn to its prior by `shape.pull`, relative to it, as if that were one more figure per figure.
    """
    matrix, published = shape.matrix(rows), np.array([row.published_ms for row in rows])
    relative = matrix / published[:, None]
    scale = np.linalg.norm(relative, axis=0) + 1e-30
    scaled, prior = relative / scale, np.array(shape.prior) * scale
    with np.errstate(divide="ignore"):
        strength = np.where(prior > 0, shape.pull * np.sqrt(len(rows)) / np.where(prior > 0, prior, 1), 0.0)
    weights = np.ones(len(rows))
    coefficients = prior
    for _ in range(_ROUNDS):
        left = np.vstack([scaled * weights[:, None], np.diag(strength)])
        coefficients, _ = nnls(left, np.concatenate([weights, strength * prior]))
        weights = 1 / np.sqrt(np.maximum(np.abs(scaled @ coefficients - 1), _SMALLEST_ERROR))
        weights /= weights.mean()
    found: Array = coefficients / scale
    return found


def ratios(shape: Shape, coefficients: Array, rows: Sequence[Row]) -> Array:
    """(rows,) predicted over published."""
    found: Array = shape.matrix(rows) @ coefficients / np.array([row.published_ms for row in rows])
    return found


def left_out(shape: Shape, rows: Sequence[Row], key: Key) -> Array:
    """(rows,) predicted over published, each group of rows with the same key predicted by a fit on all others."""
    found = np.full(len(rows), np.nan)
    for group in sorted({key(row) for row in rows}):
        inside = np.array([key(row) == group for row in rows])
        others = [row for row, skip in zip(rows, inside, strict=True) if not skip]
        if others:
            found[inside] = ratios(
                shape, fit(shape, others), [row for row, keep in zip(rows, inside, strict=True) if keep]
            )
    return found


def by_family(row: Row) -> str:
    """Leave one family of architectures out."""
    return row.family


def by_model(row: Row) -> str:
    """Leave one file out."""
    return f"{row.model} {row.dtype}"


def half_width(found: Array, share: float = 0.9) -> float:
    """The factor within which that share of left-out figures lies, either way, with the usual finite-sample step up."""
    errors = np.sort(np.abs(np.log(found[np.isfinite(found)])))
    rank = min(len(errors), int(np.ceil(share * (len(errors) + 1))))
    return float(np.exp(errors[rank - 1])) if len(errors) else float("nan")


def covered(shape: Shape, rows: Sequence[Row], floor: float = 1.0) -> tuple[Array, Array]:
    """For each row, left out with its family: whether the interval made from the others alone holds it, and its factor.

    The others' own interval comes from leaving their families out in turn, or their models where one family is left.
    """
    holds, widths = np.zeros(len(rows)), np.zeros(len(rows))
    for family in sorted({row.family for row in rows}):
        inside = np.array([row.family == family for row in rows])
        others = [row for row, skip in zip(rows, inside, strict=True) if not skip]
        key = by_family if len({row.family for row in others}) > 1 else by_model
        width = max(floor, half_width(left_out(shape, others, key)))
        errors = np.abs(np.log(ratios(shape, fit(shape, others), [row for row in rows if row.family == family])))
        holds[inside] = errors <= np.log(width)
        widths[inside] = width
    return holds, widths


def told(found: Array) -> str:
    """'median / p90' of the absolute errors, in %."""
    errors = 100 * np.abs(found[np.isfinite(found)] - 1)
    return f"{np.median(errors):.1f} / {np.percentile(errors, 90):.1f}" if len(errors) else "-"

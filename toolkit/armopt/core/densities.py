"""How the weights of a kernel are spread, step by step down a path of the tree: what a density plot shows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Distinct values that can still be told apart as single stems in a panel of some 250 points.
_MOST_STEMS = 64
_BINS = 96
# Largest level of a shared codebook: levels are what INT8 codes of symmetric weights can be.
LARGEST_LEVEL = 127


@dataclass(frozen=True, eq=False)
class Density:
    """The weights of one kernel at one step.

    Attributes:
        title: of the step, for example 'prune'.
        axis: what places weights: real `value`, `level` of a codebook that channels scale, or stored INT8 `code`.
        limits: ends of the axis.
        places: one position per share (stems), or one more than shares (edges of a histogram's bins); zeros excluded.
        shares: share of all weights at each place, 0 to 1; zeros excluded.
        zeros: share of all weights that are exactly zero, 0 to 1.
        zero_at: where on the axis zero is.
        distinct: distinct values, levels or codes, zero included; of the richest tensor where a kernel became several.
        weights: how many there are.
    """

    title: str
    axis: Literal["value", "level", "code"]
    limits: tuple[float, float]
    places: Array
    shares: Array
    zeros: float
    zero_at: float
    distinct: int
    weights: int

    @property
    def is_histogram(self) -> bool:
        """True where weights are counted in bins; False where each distinct value stands by itself."""
        return len(self.places) == len(self.shares) + 1


@dataclass(frozen=True, eq=False)
class KernelDensities:
    """One kernel through the steps of a path.

    Attributes:
        kernel: its key, `layer/attribute`, as the model names it: not to be trusted.
        shape: in Keras.
        steps: from the float model to the .tflite.
    """

    kernel: str
    shape: tuple[int, ...]
    steps: tuple[Density, ...]


def value_density(title: str, values: Array, limit: float) -> Density:
    """Density of real values over -limit..limit; few distinct values become stems, many a histogram.

    Args:
        title: of the step.
        values: of any shape.
        limit: largest magnitude on the axis, greater than 0.
    """
    used = values[values != 0]
    places, counts = np.unique(used, return_counts=True)
    distinct = len(places) + (used.size < values.size)
    if len(places) > _MOST_STEMS:
        counts, places = np.histogram(used, _BINS, (-limit, limit))
    return _density(title, "value", limit, places, counts, values.size - used.size, values.size, distinct)


def level_density(title: str, levels: Array) -> Density:
    """Density of codebook levels, -127 to 127, one per weight: what is shared where each channel has its own scale."""
    places, counts = np.unique(levels, return_counts=True)
    some = places != 0
    zeros = int(counts[~some].sum())
    return _density(title, "level", LARGEST_LEVEL, places[some], counts[some], zeros, levels.size, len(places))


def code_density(title: str, tensors: Sequence[tuple[Array, Array]]) -> Density:
    """Density of stored codes over the whole range of their type.

    Args:
        title: of the step.
        tensors: (codes, True where the real value is zero), one pair for each tensor that the kernel became; at least
            one, all of one integer type.
    """
    codes = np.concatenate([stored.ravel() for stored, _ in tensors])
    zeros = np.concatenate([zero.ravel() for _, zero in tensors])
    places, counts = np.unique(codes[~zeros], return_counts=True)
    richest = max(len(np.unique(stored)) for stored, _ in tensors)
    info = np.iinfo(codes.dtype)
    found = _density(title, "code", info.max, places, counts, int(zeros.sum()), codes.size, richest)
    return replace(found, limits=(info.min, info.max), zero_at=float(codes[zeros][0]) if zeros.any() else 0.0)


def _density(
    title: str,
    axis: Literal["value", "level", "code"],
    limit: float,
    places: Array,
    counts: Array,
    zeros: int,
    weights: int,
    distinct: int,
) -> Density:
    everything = max(weights, 1)
    at = places.astype(np.float64)
    return Density(title, axis, (-limit, limit), at, counts / everything, zeros / everything, 0.0, distinct, weights)

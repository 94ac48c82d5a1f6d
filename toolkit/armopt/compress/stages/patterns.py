"""Masks of pruning: which weights become zero next, by magnitude, for each pattern and threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from armopt.core.pattern import Blocks, NofM, Pattern, Unstructured

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Units:
    """What is zeroed or kept as a whole in one kernel.

    Attributes:
        scores: mean magnitude of each unit; below zero where it is zero already, so that it stays so; infinite where
            the pattern keeps it.
        members: number of the unit that each weight belongs to, of the matrix's shape.
    """

    scores: npt.NDArray[np.float64]
    members: npt.NDArray[np.intp]


def masks(
    weights: Mapping[str, Floats],
    kept: Mapping[str, Mask],
    pattern: Pattern,
    share: float,
    scope: Literal["layer", "global"] = "layer",
) -> dict[str, Mask]:
    """False where a weight is to be zero, by kernel; the shapes of `weights`.

    Exactly round(share * units) units of least mean magnitude are zeroed, of each kernel or of all together; a unit is
    a weight, a block, or for N:M one of the weights that the pattern rules out. A weight once masked stays masked.

    Args:
        weights: each kernel as a matrix, outputs by inputs.
        kept: the masks so far, of the same shapes; all True at the start.
        pattern: what becomes zero together.
        share: 0 to 1; of all units, so that 1 fulfils N:M and leaves nothing of a kernel otherwise.
        scope: `global` compares the magnitudes of all kernels; each keeps its largest unit, so that none is cut off.
    """
    units = {key: _units(matrix, kept[key], pattern) for key, matrix in weights.items()}
    if scope == "layer" or isinstance(pattern, NofM):
        zeroed = {key: _smallest(one.scores, share) for key, one in units.items()}
    else:
        zeroed = _smallest_of_all({key: one.scores for key, one in units.items()}, share)
    return {key: kept[key] & ~zeroed[key][one.members] for key, one in units.items()}


def smallest_masked(kernel: Floats, sparsity: float) -> Mask:
    """Mask of `kernel`'s shape, False for exactly round(sparsity * size) weights of least magnitude."""
    return ~_smallest(np.abs(kernel).astype(np.float64).ravel(), sparsity).reshape(kernel.shape)


def _smallest(scores: npt.NDArray[np.float64], share: float) -> Mask:
    zeroed = np.zeros(scores.size, bool)
    count = round(share * int(np.isfinite(scores).sum()))
    if count:
        zeroed[np.argpartition(scores, count - 1)[:count]] = True
    return zeroed


def _smallest_of_all(scores: Mapping[str, npt.NDArray[np.float64]], share: float) -> dict[str, Mask]:
    total = sum(one.size for one in scores.values())
    guarded = []
    for one in scores.values():
        guarded.append(one.copy())
        guarded[-1][np.argmax(one)] = np.inf
    together = np.concatenate(guarded)
    zeroed = np.zeros(total, bool)
    count = min(round(share * total), total - len(scores))
    if count:
        zeroed[np.argpartition(together, count - 1)[:count]] = True
    ends = np.cumsum([one.size for one in scores.values()])[:-1]
    return dict(zip(scores, np.split(zeroed, ends), strict=True))


def _units(matrix: Floats, kept: Mask, pattern: Pattern) -> _Units:
    size = np.abs(matrix).astype(np.float64)
    rows, columns = matrix.shape
    if isinstance(pattern, Blocks):
        across = -(-columns // pattern.columns)
        members = (np.arange(rows) // pattern.rows)[:, None] * across + np.arange(columns) // pattern.columns
        # Blocks at the edge may be cut: the mean compares them with whole ones.
        counts = np.bincount(members.ravel())
        scores = np.bincount(members.ravel(), size.ravel()) / counts
        scores[np.bincount(members.ravel(), kept.ravel()) == 0] = -1
        return _Units(scores, members)
    scores = np.where(kept, size, -1)
    if isinstance(pattern, NofM):
        scores = np.where(_ruled_out(scores, pattern), scores, np.inf)
    else:
        assert isinstance(pattern, Unstructured)
    return _Units(scores.ravel(), np.arange(matrix.size).reshape(matrix.shape))


def _ruled_out(scores: npt.NDArray[np.float64], pattern: NofM) -> Mask:
    """True for all but the `kept` largest of each `group` columns; a last, cut group counts as filled up with zeros."""
    rows, columns = scores.shape
    groups = -(-columns // pattern.group)
    filled = np.full((rows, groups * pattern.group), -2.0)
    filled[:, :columns] = scores
    order = np.argsort(filled.reshape(rows, groups, pattern.group), axis=2, kind="stable")
    out = np.zeros(order.shape, bool)
    np.put_along_axis(out, order[:, :, : pattern.group - pattern.kept], True, axis=2)
    return out.reshape(rows, -1)[:, :columns]

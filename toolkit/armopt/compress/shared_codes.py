"""Shared codes: clusters that survive a scale per channel, so that a whole INT8 tensor has at most k distinct codes.

The converter divides each output channel by its own scale, the largest magnitude over 127. Float clusters dissolve
there: one float value becomes another code in every channel. So the weights are clustered as the file will hold them:
each channel over its own scale, with one set of integer levels for the tensor. Zero and both ends are always levels;
the ends make the converter find the very scale that was meant. The levels are symmetric, because a batch normalization
of negative gamma mirrors its channel when it is folded, whichever layer it stands in and however its sign trains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from armopt.compress.constraints import LARGEST_CODE, Floats

# Bins per code in the histogram that the levels are solved on: finer bins move no level.
_BINS = 8
# Levels and scales are solved in turn; more rounds change the error by less than one in a thousand.
_ROUNDS = 3
# Largest share of a channel's magnitude that may be cut off: below 0.7 no channel of a trained network gains.
_SMALLEST_SCALE = 0.7
_SCALES_TRIED = 7
# Weights so small that their reciprocal overflows float32 are zeros that training left behind.
_NOTHING = 1e-30


@dataclass(frozen=True, eq=False)
class SharedCodes:
    """A kernel as scale * levels[codes] / 127.

    Attributes:
        codes: uint16, of the kernel's shape; 0 stands for zero.
        levels: int16, at most k integers of -127 .. 127: 0 first, then v, -v by rising v, the last two 127 and -127.
        scales: real value of the code 127, per group; of the shape of the groups.
    """

    codes: npt.NDArray[np.uint16]
    levels: npt.NDArray[np.int16]
    scales: Floats


def share_codes(
    kernel: Floats, clusters: int, groups: npt.NDArray[np.int32], keep: npt.NDArray[np.bool_] | None
) -> SharedCodes:
    """Cluster a kernel to at most `clusters` INT8 codes over all its channels.

    Minimizes the squared error of each channel relative to the channel's energy, since what follows a channel
    (batch normalization, the next scale) sees its error relative to its size. Levels are the exact optimum over the
    integers for given scales, scales the best of a grid for given levels, in turn.

    Args:
        kernel: weights of any shape.
        clusters: number of codes at most, zero included; 3 or more.
        groups: which weights share a scale; broadcasts to the kernel's shape, one position a group.
        keep: False where a weight is zero for good; None where none is.
    """
    weights = np.asarray(kernel if keep is None else np.where(keep, kernel, 0), np.float32)
    weights = np.where(np.abs(weights) > _NOTHING, weights, 0)
    across = tuple(axis for axis, size in enumerate(groups.shape) if size == 1)
    largest = np.abs(weights).max(axis=across, keepdims=True)
    # Relative to the channel's largest, as the converter sees them: 0 to 1.
    normal = np.abs(weights) / np.where(largest > 0, largest, 1)
    energy = np.square(normal).sum(axis=across, keepdims=True)
    importance = 1 / np.where(energy > 0, energy, 1)
    survivors = np.ones(kernel.shape, bool) if keep is None else keep
    steps = np.linspace(_SMALLEST_SCALE, 1, _SCALES_TRIED, dtype=np.float32)

    share = np.ones_like(largest)
    for _ in range(_ROUNDS):
        weight = np.broadcast_to(importance * np.square(share), kernel.shape)
        values = np.minimum(normal / share, 1) * LARGEST_CODE
        rising = solve_levels(values[survivors], weight[survivors], (clusters - 1) // 2)
        errors = [_error(normal, step, rising, across) for step in steps]
        share = steps[np.argmin(np.stack(errors), axis=0)]
    nearest = _nearest(normal / share * LARGEST_CODE, rising)
    codes = np.where(nearest == 0, 0, 2 * nearest - (weights > 0)).astype(np.uint16)
    return SharedCodes(codes, signed(rising), (largest * share).astype(kernel.dtype))


def signed(rising: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """Levels in the order of the codes, 0, v, -v, ..., from their magnitudes 0, v, ..."""
    return np.concatenate([[0], np.stack([rising[1:], -rising[1:]], axis=1).ravel()]).astype(np.int16)


def solve_levels(values: Floats, weights: Floats, count: int) -> npt.NDArray[np.int64]:
    """The integer levels 0 < v1 < ... < 127 that magnitudes are nearest to, the exact optimum by dynamic programming.

    Args:
        values: magnitudes, 0 to 127, flat.
        weights: of each value's squared error, flat.
        count: number of levels beside zero, 127 among them.

    Returns:
        Magnitudes rising from 0 to 127; fewer than `count` beside zero only where 127 integers are too few.
    """
    count = min(count, LARGEST_CODE)
    bins = np.round(np.asarray(values) * _BINS).astype(np.int64)
    size = LARGEST_CODE * _BINS + 1
    mass = np.bincount(bins, weights=weights, minlength=size)
    place = np.arange(size) / _BINS
    sums = [np.concatenate([[0.0], np.cumsum(mass * place**power)]) for power in range(3)]

    def cost(first: npt.NDArray[np.int64], end: npt.NDArray[np.int64], level: npt.NDArray[np.int64]) -> Floats:
        zeroth, linear, square = (total[end] - total[first] for total in sums)
        return np.asarray(square - 2 * level * linear + level**2 * zeroth)

    # Between two neighbouring levels each value goes to the nearer one, so the cost of a pair stands by itself.
    low, high = np.meshgrid(np.arange(LARGEST_CODE + 1), np.arange(LARGEST_CODE + 1), indexing="ij")
    middle = (low + high) * _BINS // 2
    pair = np.where(high > low, cost(low * _BINS, middle, low) + cost(middle, high * _BINS, high), np.inf)
    best = np.full(LARGEST_CODE + 1, np.inf)
    best[0] = 0.0
    came_from = []
    for _ in range(count):
        total = best[:, None] + pair
        came_from.append(total.argmin(axis=0))
        best = total.min(axis=0)
    levels = [LARGEST_CODE]
    for previous in reversed(came_from):
        levels.append(int(previous[levels[-1]]))
    return np.array(levels[::-1], np.int64)


def _nearest(normal: Floats, rising: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    edges = (rising[1:] + rising[:-1]) / 2
    return np.searchsorted(edges, normal)


def _error(normal: Floats, share: float, rising: npt.NDArray[np.int64], across: tuple[int, ...]) -> Floats:
    """Squared error per group, through a table of fine bins: a search per weight would take most of the time."""
    size = LARGEST_CODE * _BINS
    table = rising[_nearest(np.arange(size + 1) / _BINS, rising)].astype(np.float32) * np.float32(share / LARGEST_CODE)
    bins = np.minimum(normal * np.float32(size / share) + np.float32(0.5), size).astype(np.int32)
    return np.asarray(np.square(normal - table[bins]).sum(axis=across, keepdims=True))

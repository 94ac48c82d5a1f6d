"""Tensors that a .tflite stores without their zeros: back to all their values.

The format is that of TACO (Kjolstad et al., OOPSLA 2017), as schema.fbs documents it under `SparsityParameters`: axes
in the order in which they are stored, each either dense (all of its positions) or compressed (for each position of the
axis before, a segment of the positions that exist). An axis may be split in blocks, whose inner axes come last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armopt.compress.data import Array

# Values of the schema's DimensionType.
_DENSE, _COMPRESSED = 0, 1
# A stored shape costs a few bytes, its values memory: more than the largest mobile network has weights is damage.
_MOST_VALUES = 1 << 28


def dense_values(shape: tuple[int, ...], stored: Array, sparsity: Any) -> Array:
    """The tensor with its zeros, of `shape`.

    Args:
        shape: of the tensor.
        stored: the values that are there, in the order of the file.
        sparsity: the tensor's SparsityParametersT.

    Raises:
        ValueError: positions that do not fit the shape or the values.
    """
    order = [int(axis) for axis in _listed(sparsity.traversalOrder)]
    blocked = [int(axis) for axis in _listed(sparsity.blockMap)]
    levels = list(_listed(sparsity.dimMetadata))
    if sorted(order) != list(range(len(shape) + len(blocked))) or len(levels) != len(order):
        raise ValueError("axes that do not fit the tensor")
    if math.prod(shape) > _MOST_VALUES or any(not 0 <= axis < len(shape) for axis in blocked):
        raise ValueError("a shape that no kernel has")
    inner = {axis: int(levels[order.index(axis)].denseSize) for axis in range(len(shape), len(order))}
    positions: dict[int, Array] = {}
    entries = 1
    for axis, level in zip(order, levels, strict=True):
        blocks = math.prod(inner[len(shape) + k] for k, of in enumerate(blocked) if of == axis)
        size = inner[axis] if axis in inner else shape[axis] // max(1, blocks)
        parents, places = _children(level, entries, size)
        positions = {earlier: found[parents] for earlier, found in positions.items()} | {axis: places}
        entries = len(places)
    if entries != len(stored):
        raise ValueError("positions that do not fit the values")
    index = [positions[axis] for axis in range(len(shape))]
    for k, axis in enumerate(blocked):
        index[axis] = index[axis] * inner[len(shape) + k] + positions[len(shape) + k]
    values: Array = np.zeros(shape, stored.dtype)
    values[tuple(index)] = stored
    return values


def _children(level: Any, entries: int, size: int) -> tuple[Array, Array]:
    """Of one axis: for each of its entries, the entry of the axis before it and its own position, in file order."""
    if level.format == _DENSE:
        if entries * size > _MOST_VALUES:
            raise ValueError("more entries than a kernel has")
        return np.repeat(np.arange(entries), size), np.tile(np.arange(size), entries)
    if level.format != _COMPRESSED or level.arraySegments is None or level.arrayIndices is None:
        raise ValueError("an axis of an unknown kind")
    segments = np.asarray(_listed(level.arraySegments.values), np.int64)
    places = np.asarray(_listed(level.arrayIndices.values), np.int64)
    lengths = np.diff(segments)
    fits = len(lengths) == entries and segments[0] == 0 and segments[-1] == len(places) and (lengths >= 0).all()
    if not fits or (len(places) and not 0 <= places.min() <= places.max() < size):
        raise ValueError("segments that do not fit the axis")
    return np.repeat(np.arange(entries), lengths), places


def _listed(values: Any) -> Sequence[Any]:
    """A vector of the schema; one that is left out is empty."""
    return () if values is None else values

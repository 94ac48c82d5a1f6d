"""Multiply-accumulates of a model for what is kept of its channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.channels.parts import Ids, Shape, Work

Floats = npt.NDArray[np.float64]


class Macs:
    """Counts them per sample: each layer's factor times its input channels times its output channels.

    Args:
        work: of all calls that channels are followed through, with classes of channels.
        classes: their number.
        constant: multiply-accumulates of all other calls.
    """

    def __init__(self, work: Sequence[Work], classes: int, constant: int) -> None:
        self._factors = np.array([one.factor for one in work], np.float64)
        self._inputs = _places([one.inputs for one in work], classes)
        self._outputs = _places([one.outputs for one in work], classes)
        self._single = np.array([one.inputs is None for one in work], np.float64)
        self._constant = constant

    def total(self, keep: npt.NDArray[np.bool_]) -> int:
        """Of the whole model, with the classes that `keep` says."""
        inputs, outputs = self.channels(keep.astype(np.float64))
        return self._constant + int(self._factors @ ((inputs + self._single) * outputs))

    def channels(self, weights: Floats) -> tuple[Floats, Floats]:
        """Input and output channels of every piece of work, each class counted as its weight says."""
        return self._inputs @ weights, self._outputs @ weights

    def saved(self, now: tuple[Floats, Floats], less: tuple[Floats, Floats]) -> Floats:
        """What further removals would save, each taken for itself.

        Args:
            now: `channels` of what is kept now, shape (work,).
            less: of each removal the channels that it takes away, shape (removals, work).
        """
        inputs, outputs = now[0] + self._single, now[1]
        after = (inputs - less[0]) * (outputs - less[1])
        saved: Floats = (inputs * outputs - after) @ self._factors
        return saved


def fixed_macs(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Of a call whose channels are not followed: every weight of a matrix or kernel once at each place.

    Exact for convolutions, grouped and transposed ones too, and for Dense; a lower bound for attention, whose products
    of data with data are not in it.
    """
    transposed = "Transpose" in type(layer).__name__
    shapes = inputs if transposed or type(layer).__name__ in ("LSTM", "GRU", "SimpleRNN") else outputs
    places = math.prod(size or 1 for size in shapes[0][1:-1]) if shapes else 0
    weights = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
    return int(places * weights)


def _places(labels: Sequence[Ids | None], classes: int) -> Any:
    """Sparse matrix (work, classes): how many channels of each class there are."""
    from scipy.sparse import csr_array

    rows = np.concatenate(
        [np.zeros(0, np.int64), *(np.full(len(ids), row) for row, ids in enumerate(labels) if ids is not None)]
    )
    columns = np.concatenate([np.zeros(0, np.int64), *(ids for ids in labels if ids is not None)])
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(labels), classes))

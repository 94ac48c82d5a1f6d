"""Rows of a split as samples of a .tflite, and what it says of them back as real values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armopt.compress.data import Array, Split
from armopt.compress.interpreter import HostInterpreter, dequantize


class SplitSamples:
    """The first rows of a split, whole inferences of them.

    Args:
        tflite: the file.
        split: where the rows come from; begun again where there are too few.
        count: how many are wanted.
    """

    def __init__(self, tflite: Path, split: Split, count: int) -> None:
        self._host = HostInterpreter(tflite)
        self._batch = batch = self._host.batch
        rows = max(batch, min(count, len(split)) // batch * batch)
        self.chosen = split.take(np.arange(rows) % len(split))
        typed = self._host.typed(self.chosen.x)
        self.arrays = [_as_samples(typed[position], batch) for position in self._host.positions()]

    def real(self, outputs: Sequence[NDArray[Any]]) -> tuple[Array, ...]:
        """What a device gave for the samples, in the model's order of outputs: (rows, ...) each."""
        pairs = zip(self._host.output_positions(), self._host.outputs, strict=True)
        return tuple(dequantize(_as_rows(outputs[position], self._batch), detail) for position, detail in pairs)


def _as_samples(array: Array, batch: int) -> Array:
    """Rows grouped into whole inferences: (inferences, batch, ...)."""
    return array.reshape(-1, batch, *array.shape[1:])


def _as_rows(array: Array, batch: int) -> Array:
    """(inferences, batch, ...) back to rows."""
    return array.reshape(-1, *array.shape[2:]) if array.ndim > 1 and array.shape[1] == batch else array

"""The metric of a .tflite on labelled samples, whoever made it: on this machine, and from what a board gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armopt.compress.data import PREPROCESS, Split
from armopt.compress.datasets import load_data
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.metric import metric_named
from armopt.core.errors import DataError
from armopt.search.samples import SplitSamples


class Labelled:
    """The test split of some data, as samples of one file.

    Args:
        tflite: the file.
        data: as `--data` takes it.
        metric: a Keras name or `module:function`; None: accuracy where the labels are classes, else the mean squared
            error.
        preprocess: of the inputs, as the model was deployed with.

    Raises:
        DataError: the data can't be read, has no labels, or does not fit the file.
    """

    def __init__(self, tflite: Path, data: str, metric: str | None, preprocess: str = "none") -> None:
        shape = HostInterpreter(tflite).inputs[0]["shape"]
        is_image = len(shape) == 4
        split = load_data(data, tuple(shape[1:3]) if is_image else None, int(shape[3]) if is_image else 3).test
        if not split.y:
            raise DataError(f"'{data}' has no labels", "give y_test, or leave out --data")
        scale, offset, _ = PREPROCESS[preprocess]
        if preprocess != "none":
            split = Split(tuple((array * scale + offset).astype(np.float32) for array in split.x), split.y)
        self._samples = SplitSamples(tflite, split, len(split))
        labels = self._samples.chosen.y[0]
        classes = np.issubdtype(labels.dtype, np.integer) and labels.ndim == 1
        name = metric or ("accuracy" if classes else "mean_squared_error")
        self.metric, self._score = metric_named(name, labels, from_logits=False)

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """One array per input of the file, first axis the inferences."""
        return self._samples.arrays

    def score(self, outputs: Sequence[NDArray[Any]]) -> float:
        """The metric of a device's outputs for `arrays`."""
        return float(self._score(self._samples.chosen.y, self._samples.real(outputs)))

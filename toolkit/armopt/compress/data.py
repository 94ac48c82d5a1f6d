"""The data of one run: three splits of arrays, checked, with one declared preprocessing for all uses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.core.errors import DataError

Array = npt.NDArray[Any]

SPLITS = ("train", "val", "test")
_SAMPLE_SEED = 20260101


@dataclass(frozen=True, eq=False)
class Split:
    """Samples of one split.

    Attributes:
        x: one array per model input, in the model's order; first axis is the sample.
        y: one array per model output; empty where there are no labels.
    """

    x: tuple[Array, ...]
    y: tuple[Array, ...] = ()

    def __len__(self) -> int:
        return len(self.x[0])

    def sample(self, count: int) -> Split:
        """At most `count` samples drawn without order, the same every time: files are often sorted by class."""
        rows = np.random.default_rng(_SAMPLE_SEED).permutation(len(self))[:count]
        return self.take(np.sort(rows))

    def take(self, rows: npt.NDArray[np.int64] | slice) -> Split:
        """The given samples as a split."""
        return Split(tuple(array[rows] for array in self.x), tuple(array[rows] for array in self.y))


@dataclass(frozen=True, eq=False)
class Data:
    """Train is for fine-tuning and calibration, val for choosing, test for the figures that are reported."""

    name: str
    train: Split
    val: Split
    test: Split
    preprocess: str = "none"
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 over all arrays and the preprocessing: equal data, equal fingerprint, wherever it was read from."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self.preprocess.encode())
        for split in (self.train, self.val, self.test):
            for array in (*split.x, *split.y):
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


# Declared preprocessings: name -> (scale, offset, words). y = x * scale + offset, in float32.
PREPROCESS: dict[str, tuple[float, float, str]] = {
    "none": (1.0, 0.0, "inputs as they are"),
    "unit": (1 / 255, 0.0, "bytes 0..255 to 0..1"),
    "signed": (1 / 127.5, -1.0, "bytes 0..255 to -1..1"),
}


def prepare(data: Data, model: Any, preprocess: str) -> Data:
    """Preprocess the inputs once, in the dtype of the model's inputs, and check that they fit the model.

    Args:
        data: raw splits.
        model: tf-keras model with known input shapes and dtypes.
        preprocess: a name in `PREPROCESS`.

    Raises:
        DataError: wrong number of inputs, wrong shape, values that are not finite, or no samples.
    """
    if preprocess not in PREPROCESS:
        raise DataError(f"unknown preprocessing '{preprocess}'", f"use one of {', '.join(PREPROCESS)}")
    scale, offset, _ = PREPROCESS[preprocess]
    inputs = [(tensor.name, tuple(tensor.shape), tensor.dtype.as_numpy_dtype) for tensor in model.inputs]

    def ready(name: str, split: Split) -> Split:
        if len(split.x) != len(inputs):
            raise DataError(
                f"the model has {len(inputs)} inputs, the data has {len(split.x)}",
                "give one array per input: x_train_0, x_train_1, ...",
            )
        arrays = []
        for array, (input_name, shape, dtype) in zip(split.x, inputs, strict=True):
            fitted = _fitted(array, shape)
            if fitted is None:
                raise DataError(
                    f"input '{input_name}' takes samples of shape {_words(shape[1:])}, "
                    f"x_{name} has {_words(array.shape[1:])}",
                    "reshape the data or name another model",
                )
            if not np.issubdtype(dtype, np.integer):
                fitted = (
                    fitted.astype(np.float32)
                    if (scale, offset) == (1, 0)
                    else fitted * np.float32(scale) + np.float32(offset)
                )
                if not np.isfinite(fitted).all():
                    raise DataError(f"x_{name} holds values that are not finite", "remove NaN and infinite samples")
            arrays.append(np.ascontiguousarray(fitted, dtype))
        return replace(split, x=tuple(arrays))

    for name in SPLITS:
        if len(getattr(data, name)) == 0:
            raise DataError(f"split '{name}' has no samples", "give more data")
    train, val, test = (ready(name, getattr(data, name)) for name in SPLITS)
    return replace(data, preprocess=preprocess, train=train, val=val, test=test)


def _fitted(array: Array, shape: tuple[int | None, ...]) -> Array | None:
    wanted = shape[1:]
    have = array.shape[1:]
    if len(have) == len(wanted) and all(w in (None, h) for w, h in zip(wanted, have, strict=True)):
        return array
    # Images without their single channel, or with one that the model does not want, hold the same numbers.
    if wanted and wanted[-1] == 1 and tuple(wanted[:-1]) == have:
        return array[..., None]
    if have and have[-1] == 1 and have[:-1] == tuple(wanted):
        return array[..., 0]
    return None


def _words(shape: tuple[int | None, ...]) -> str:
    return "x".join("any" if size is None else str(size) for size in shape) or "scalar"

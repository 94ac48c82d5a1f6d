"""A folder with a small model and its data, which integration tests deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write_project(folder: Path, train: int, test: int) -> tuple[Any, Any, Any]:
    """Write `model.keras` and `data.npz` of so many samples; returns the model, and x and y of all samples."""
    from armopt.compress.backend import keras

    random = np.random.default_rng(1)
    x = random.normal(size=(train + test, 12, 12, 1)).astype(np.float32)
    y = (x.mean((1, 2, 3)) > 0).astype(np.int64)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:])
    return model, x, y

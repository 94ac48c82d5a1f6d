"""Models and data small enough to be trained in a second, one builder per way that layers are put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from armopt.compress.backend import keras
from armopt.compress.data import Array, Data, Split
from armopt.compress.stages import Context
from armopt.compress.task import find_task
from armopt.core.profile import StageSettings

layers = keras.layers


def samples(shape: tuple[int, ...], count: int = 64, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def labels(x: Array, classes: int = 3) -> Array:
    return np.asarray(x.reshape(len(x), -1)[:, :classes].argmax(1), np.int64)


def data_of(x: Any, y: Any = None) -> Data:
    split = Split(x if isinstance(x, tuple) else (x,), () if y is None else y if isinstance(y, tuple) else (y,))
    return Data("tiny", split, split, split)


def context_for(model: Any, **settings: Any) -> Context:
    """Random samples of the model's input shape, and steps large enough that every weight moves."""
    shape = tuple(size if size is not None else 8 for size in model.inputs[0].shape[1:])
    x = samples(shape)
    task, data = find_task(model, data_of(x, labels(x)))
    defaults = {"epochs": 1, "min_steps": 8, "batch_size": 16, "learning_rate": 1e-2}
    return Context(data, task, StageSettings.model_validate({**defaults, **settings}), lambda *progress: None)


def dense() -> Any:
    return keras.Sequential([layers.Input((12,)), layers.Dense(16, "relu", name="hidden"), layers.Dense(3, name="out")])


def conv2d() -> Any:
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(8, 3, activation="relu", name="second")(x)
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)), name="conv2d")


def separable() -> Any:
    inputs = layers.Input((8, 8, 4))
    x = layers.SeparableConv2D(8, 3, activation="relu", name="separable")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)), name="separable_net")


def conv1d() -> Any:
    inputs = layers.Input((16, 4))
    x = layers.Conv1D(8, 3, activation="relu", name="conv")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling1D()(x)), name="conv1d_net")


def lstm() -> Any:
    inputs = layers.Input(batch_shape=(1, 6, 5))
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.LSTM(8, name="lstm")(inputs)), name="lstm_net")


def nested() -> Any:
    inner = keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(6, 3, activation="relu", name="conv"), layers.Flatten()], name="inner"
    )
    inputs = layers.Input((8, 8, 3))
    return keras.Model(inputs, layers.Dense(3, name="out")(inner(inputs)), name="outer")


def shared() -> Any:
    same = layers.Dense(12, activation="relu", name="same")
    inputs = layers.Input((12,))
    return keras.Model(inputs, layers.Dense(3, name="out")(same(same(inputs))), name="shared_net")


BUILDERS: dict[str, Callable[[], Any]] = {
    "Dense": dense,
    "Conv2D": conv2d,
    "SeparableConv2D": separable,
    "Conv1D": conv1d,
    "LSTM": lstm,
    "nested": nested,
    "shared": shared,
}

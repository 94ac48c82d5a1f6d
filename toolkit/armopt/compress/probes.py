"""The shapes that `armopt devices calibrate` times on a board: each leans on another term of the latency model.

Together they tell the terms of `core.calibration.Terms` apart: matrix products with few and with many channels, kernels
that are no matrix product, weights and pictures that no cache holds, pictures that the last level holds, many small
operators, and operators that the runtime runs by itself on one thread. Weights are random with a fixed seed and all
layers have names, so that a shape's file is the same each time it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.backend import keras, tf
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.core.timings import PROBE_NUMBERS, ProbeNumbers, probe_name

layers = keras.layers
_SEED = 20261125
_SAMPLES = 2


@dataclass(frozen=True)
class ProbeShape:
    """One shape: its name, the shapes of its inputs without the batch, and what builds its output from them."""

    name: str
    inputs: tuple[tuple[int, ...], ...]
    build: Callable[..., Any]


def write_probes(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Write every shape in every number format into `folder`, which exists; yields the names, files are NAME.tflite.

    Raises:
        ConversionError: the converter refused one or died.
        StoreError: no room for the files.
    """
    total = len(SHAPES) * len(PROBE_NUMBERS)
    for index, shape in enumerate(SHAPES):
        model = _model(shape)
        random = np.random.default_rng(_SEED)
        samples = Split(tuple(random.random((_SAMPLES, *size), dtype=np.float32) for size in shape.inputs))
        for position, numbers in enumerate(PROBE_NUMBERS):
            name = probe_name(shape.name, numbers)
            say(f"making {name}, {index * len(PROBE_NUMBERS) + position + 1} of {total}")
            export_tflite(model, samples, folder / f"{name}.tflite", numbers=_FORMAT[numbers])
            yield name


_FORMAT: dict[ProbeNumbers, Any] = {"float": "float32", "int8": "int8"}


def _model(shape: ProbeShape) -> Any:
    inputs = [layers.Input(size, batch_size=1, name=f"x{index}") for index, size in enumerate(shape.inputs)]
    model = keras.Model(inputs, shape.build(*inputs), name=shape.name)
    random = np.random.default_rng(_SEED)
    model.set_weights([_weights(random, array.shape) for array in model.get_weights()])
    return model


def _weights(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Kernels that keep the size of what passes through them (He et al. 2015), small biases."""
    fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 100
    if len(shape) == 4 and shape[-1] == 1:  # depthwise: (height, width, channels, 1)
        fan_in = shape[0] * shape[1]
    return (random.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def _convolutions(x: Any, *, channels: tuple[int, ...], size: int = 1, strides: int = 1) -> Any:
    for index, number in enumerate(channels):
        options = {"padding": "same", "strides": strides, "activation": "relu", "name": f"conv{index}"}
        x = layers.Conv2D(number, size, **options)(x)
    return x


def _depthwise(x: Any, *, size: int, times: int) -> Any:
    for index in range(times):
        x = layers.DepthwiseConv2D(size, padding="same", activation="relu", name=f"depthwise{index}")(x)
    return x


def _dense(x: Any, *, units: int) -> Any:
    return layers.Dense(units, name="dense")(x)


def _additions(x: Any, y: Any, *, times: int) -> Any:
    for index in range(times):
        x, y = layers.Add(name=f"add{index}")([x, y]), x
    return x


def _block(x: Any) -> Any:
    """MobileNet v2's beginning in small, to an answer of 100 classes."""
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu6", name="stem")(x)
    for index, (channels, strides) in enumerate(((24, 2), (24, 1), (48, 2), (48, 1))):
        options = {"padding": "same", "activation": "relu6"}
        wide = layers.Conv2D(6 * x.shape[-1], 1, name=f"expand{index}", **options)(x)
        wide = layers.DepthwiseConv2D(3, strides=strides, name=f"depthwise{index}", **options)(wide)
        narrow = layers.Conv2D(channels, 1, name=f"project{index}")(wide)
        x = layers.Add(name=f"add{index}")([x, narrow]) if x.shape == narrow.shape else narrow
    return layers.Dense(100, name="classes")(layers.GlobalAveragePooling2D(name="mean")(x))


def _small_operators(x: Any, *, times: int) -> Any:
    for index in range(times):
        x = layers.Conv2D(16, 1, activation="relu", name=f"conv{index}")(x)
    return x


def _by_the_runtime(x: Any, *, times: int) -> Any:
    """Rows back to front, which XNNPACK has no kernel for; a small convolution, so that XNNPACK is there at all."""
    for index in range(times):
        x = layers.Lambda(_reversed, name=f"reverse{index}")(x)
    return layers.Conv2D(16, 1, strides=4, name="conv")(x)


def _reversed(x: Any) -> Any:
    return tf.reverse(x, axis=[2])


# Sizes: 1 to 20 ms each on a Raspberry Pi 4 with one thread, as far as an operator's kind allows (latency model).
SHAPES = (
    ProbeShape("pointwise-narrow", ((72, 72, 32),), partial(_convolutions, channels=(64, 32, 64))),
    ProbeShape("pointwise-wide", ((14, 14, 512),), partial(_convolutions, channels=(512,))),
    ProbeShape("convolution", ((28, 28, 64),), partial(_convolutions, channels=(64,), size=3)),
    ProbeShape("picture", ((224, 224, 3),), partial(_convolutions, channels=(32,), size=3, strides=2)),
    ProbeShape("depthwise-3", ((56, 56, 128),), partial(_depthwise, size=3, times=2)),
    ProbeShape("depthwise-5", ((28, 28, 192),), partial(_depthwise, size=5, times=2)),
    ProbeShape("dense", ((1536,),), partial(_dense, units=4096)),
    ProbeShape("add-large", ((112, 112, 64), (112, 112, 64)), partial(_additions, times=3)),
    ProbeShape("add-small", ((28, 28, 32), (28, 28, 32)), partial(_additions, times=32)),
    ProbeShape("block", ((160, 160, 3),), _block),
    ProbeShape("small-operators", ((10, 10, 16),), partial(_small_operators, times=120)),
    ProbeShape("runtime", ((96, 96, 16),), partial(_by_the_runtime, times=6)),
)

"""The built-in data and model: scikit-learn's handwritten digits and a small separable-convolution network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.data import Data, Split
from armopt.compress.names import DIGITS_MODEL

# 8x8 pixels upsampled fourfold: 32x32 gives the network as much work as a small real one has.
_UPSAMPLE = 4
_SEED = 1
# 18 epochs reach the accuracy of 30 within the noise of the 360 test samples, in half a minute.
_EPOCHS = 18
# (filters, strides) of each depthwise-separable block: enough work for a millisecond on a Raspberry Pi 4.
_BLOCKS = ((64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (128, 1), (128, 1))


def load_digits_data() -> Data:
    """1,797 digits as (32, 32, 1) floats in 0..1: 1,257 train, 180 val, 360 test, stratified, always the same."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    pixels = (bunch.images / 16.0).astype(np.float32).repeat(_UPSAMPLE, axis=1).repeat(_UPSAMPLE, axis=2)[..., None]
    labels = bunch.target.astype(np.int64)
    rest, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=_SEED)
    train, val = train_test_split(rest, test_size=180, stratify=labels[rest], random_state=_SEED)
    parts = [Split((pixels[rows],), (labels[rows],)) for rows in map(np.sort, (train, val, test))]
    return Data("digits", parts[0], parts[1], parts[2])


def build_digits_model() -> Any:
    """DS-CNN for 32x32x1 inputs: one convolution, eight depthwise-separable blocks, 7.9 M multiply-accumulates."""
    from armopt.compress.backend import keras

    layers = keras.layers
    inputs = x = layers.Input((32, 32, 1), name="pixels")
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
    x = layers.ReLU(name="conv_relu")(layers.BatchNormalization(name="conv_bn")(x))
    for number, (filters, strides) in enumerate(_BLOCKS, start=1):
        name = f"block{number}"
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=f"{name}_dw")(x)
        x = layers.ReLU(name=f"{name}_dw_relu")(layers.BatchNormalization(name=f"{name}_dw_bn")(x))
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pw")(x)
        x = layers.ReLU(name=f"{name}_pw_relu")(layers.BatchNormalization(name=f"{name}_pw_bn")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="digits_ds_cnn")


def digits_model_file(folder: Path) -> Path:
    """The trained default model of `--data digits`; trained on first use (half a minute), then kept in `folder`."""
    path = folder / DIGITS_MODEL
    if path.exists():
        return path
    from armopt.compress.backend import keras

    keras.utils.set_random_seed(_SEED)
    model, train = build_digits_model(), load_digits_data().train
    steps = -(-len(train) // 32) * _EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(train.x[0], train.y[0], batch_size=32, epochs=_EPOCHS, verbose=0)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{os.getpid()}.{DIGITS_MODEL}"
    model.save(part)
    part.replace(path)
    return path

"""Models trained on Fashion-MNIST for `channels.py`: ResNet8 and small MobileNets, made on first use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mobilenets

from armopt.compress.backend import keras

layers = keras.layers


def fashion(name: str, shared: Path, samples: int | None = None, epochs: int = mobilenets.EPOCHS) -> tuple[Path, Path]:
    """The trained model called `resnet8`, `v1` or `v2`, and its data; some minutes on first use.

    Args:
        name: of the model.
        shared: folder with `data/fashion_mnist.npz`.
        samples: of the 60,000 that are trained on, so many at random; None: all.
        epochs: of training.
    """
    if name == "resnet8":
        return mobilenets.trained_on_fashion(name, lambda: resnet8((32, 32, 1), 10), shared, samples, epochs)
    return mobilenets.fashion("v1" if name == "v1" else "v2", shared, samples, epochs)


def resnet8(shape: tuple[int, int, int], classes: int) -> Any:
    """Three residual stacks of 16, 32 and 64 channels, as MLPerf Tiny's image classification has them.

    Architecture: Banbury et al. 2021, "MLPerf Tiny Benchmark"; He et al. 2016 for the blocks.
    """
    inputs = keras.Input(shape)
    x = _convolved(inputs, 16, 1)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = _convolved(x, filters, stride)
        y = layers.BatchNormalization()(_conv(filters, 1)(y))
        if stride != 1:
            x = _conv(filters, stride, 1)(x)
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x), name="resnet8")


def _conv(filters: int, stride: int, size: int = 3) -> Any:
    decay = keras.regularizers.l2(1e-4)
    return layers.Conv2D(filters, size, stride, "same", kernel_initializer="he_normal", kernel_regularizer=decay)


def _convolved(x: Any, filters: int, stride: int) -> Any:
    return layers.Activation("relu")(layers.BatchNormalization()(_conv(filters, stride)(x)))

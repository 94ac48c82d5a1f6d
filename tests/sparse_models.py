"""Small networks that XNNPACK runs with its sparse kernels once they are pruned, and neighbours that it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.compress.stages.patterns import smallest_masked

layers = keras.layers


def activated(x: Any) -> Any:
    return layers.ReLU(6.0)(layers.BatchNormalization()(x))


def first(x: Any, filters: int = 8, around: Any = 1) -> Any:
    return activated(layers.Conv2D(filters, 3, 2, use_bias=False)(layers.ZeroPadding2D(around)(x)))


def depthwise(x: Any, stride: int = 1, around: Any = 1) -> Any:
    x = layers.ZeroPadding2D(around)(x) if stride == 2 else x
    return activated(layers.DepthwiseConv2D(3, stride, "valid" if stride == 2 else "same", use_bias=False)(x))


def pointwise(x: Any, filters: int = 16) -> Any:
    return activated(layers.Conv2D(filters, 1, use_bias=False)(x))


def classified(x: Any, inputs: Any) -> Any:
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)), name="net")


def mobile(channels: int = 3, around: Any = 1) -> Any:
    inputs = layers.Input((32, 32, channels))
    x = pointwise(depthwise(first(inputs, around=around)))
    return classified(pointwise(depthwise(x, 2, around), 32), inputs)


def residual() -> Any:
    inputs = layers.Input((32, 32, 3))
    x = pointwise(first(inputs))
    return classified(layers.Add()([x, pointwise(depthwise(x))]), inputs)


def squeezed() -> Any:
    inputs = layers.Input((32, 32, 3))
    x = pointwise(depthwise(first(inputs)))
    gate = layers.Conv2D(8, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Conv2D(16, 1, activation="sigmoid")(gate)])
    return classified(pointwise(x), inputs)


def wide_inside() -> Any:
    inputs = layers.Input((32, 32, 3))
    x = activated(layers.Conv2D(8, 3, padding="same", use_bias=False)(first(inputs)))
    return classified(pointwise(x), inputs)


def without_mean() -> Any:
    inputs = layers.Input((32, 32, 3))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(pointwise(depthwise(first(inputs))))), name="net")


def read_elsewhere() -> Any:
    inputs = layers.Input((32, 32, 3))
    x = pointwise(depthwise(first(inputs)))
    other = layers.Flatten()(layers.MaxPool2D(8)(x))
    return keras.Model(inputs, [classified(pointwise(x), inputs).outputs[0], layers.Dense(2)(other)], name="net")


# Builder, share of zeros, and a part of the first obstacle: None where the sparse kernels run.
CASES: dict[str, tuple[Callable[[], Any], float, str | None]] = {
    "as it should be": (mobile, 0.8, None),
    "with a sum": (residual, 0.8, None),
    "with a gate": (squeezed, 0.8, None),
    "too few zeros": (mobile, 0.6, "hold 6"),
    "padding of one side": (lambda: mobile(around=((0, 1), (0, 1))), 0.8, "padding='same'"),
    "one channel": (lambda: mobile(channels=1), 0.8, "reads 1 channel"),
    "a 3x3 convolution inside": (wide_inside, 0.8, "is 3x3 of stride 1"),
    "no mean": (without_mean, 0.8, "does not end in a mean"),
    "read by what can't": (read_elsewhere, 0.8, "MAX_POOL_2D"),
}


def pruned(model: Any, share: float) -> Any:
    """The same model with the smallest of each kernel but the depthwise ones zero."""
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.Dense)) and not isinstance(layer, layers.DepthwiseConv2D):
            kernel, *rest = layer.get_weights()
            layer.set_weights([kernel * smallest_masked(kernel, share), *rest])
    return model


def exported(model: Any, path: Path, numbers: Any = "sparse") -> Path:
    x = tuple(tiny_models.samples(tuple(tensor.shape[1:]), 4) for tensor in model.inputs)
    return export_tflite(model, Split(x), path, numbers=numbers).path


def case(name: str, folder: Path) -> tuple[Path, str | None]:
    """The file of a case, and what stands in its way."""
    build, share, obstacle = CASES[name]
    keras.utils.set_random_seed(3)
    return exported(pruned(build(), share), folder / "model.tflite"), obstacle


def pictures(model_shape: tuple[int, ...], count: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    return tiny_models.samples(model_shape, count)

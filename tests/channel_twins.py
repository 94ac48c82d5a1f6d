"""Models with random weights and their twins with slices zeroed: what a model with fewer channels has to compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from armopt.compress.backend import keras, tf
from armopt.compress.channels.groups import ChannelGraph, Kept
from armopt.compress.channels.surgery import shrunk

layers = keras.layers


def randomised(model: Any, seed: int = 1) -> Any:
    """The model with random weights, biases and batch-norm statistics, so that no channel is like another."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name = weight.name.split("/")[-1].split(":")[0]
        noise = rng.normal(size=weight.shape)
        if name in ("gamma", "moving_variance", "variance"):
            weight.assign(0.5 + np.abs(noise))
        elif len(weight.shape) == 1:
            weight.assign(0.3 * noise)
        elif weight.dtype.is_floating:
            fan_in = np.prod(weight.shape) / weight.shape[-2 if "depthwise" in name else -1]
            weight.assign(noise / np.sqrt(fan_in))
    return model


def random_kept(graph: ChannelGraph, seed: int = 1, share: float = 0.6) -> Kept:
    """A random choice of channels in every group, at least one of each."""
    rng = np.random.default_rng(seed)
    kept = {}
    for group in graph.groups:
        stays = rng.random(len(group)) < share
        stays[rng.integers(len(group))] = True
        kept[group.name] = stays
    return kept


@contextlib.contextmanager
def zeroed(graph: ChannelGraph, kept: Kept) -> Iterator[Any]:
    """The graph's own model, every kernel of which has zeros, for a while, where it sums over a removed channel."""
    keep, before = graph.keep(kept), []
    for path, (attribute, axis, labels) in graph.consumers().items():
        variable = getattr(graph.layers[path], attribute)
        before.append((variable, variable.numpy()))
        last = np.moveaxis(variable.numpy(), axis, -1)
        variable.assign(np.moveaxis(np.where(keep[labels], last, 0), -1, axis))
    yield graph.model
    for variable, values in before:
        variable.assign(values)


def inputs_of(model: Any, count: int = 2, seed: int = 1) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        rng.normal(size=(count, *(size or 9 for size in tensor.shape[1:]))).astype(np.float32)
        for tensor in model.inputs
    )


def difference(some: list[Any], others: list[Any]) -> float:
    """Largest difference of outputs, relative to the largest one."""
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)) for a, b in zip(some, others, strict=True))


def worst_difference(one: Any, other: Any, x: tuple[Any, ...]) -> float:
    """The same of two models."""
    return difference(outputs(one, x), outputs(other, x))


def outputs(model: Any, x: tuple[Any, ...]) -> list[Any]:
    made = model(list(x) if len(x) > 1 else x[0], training=False)
    return [np.asarray(tensor) for tensor in tf.nest.flatten(made)]


def assert_exact(model: Any, seed: int = 1) -> Any:
    """Shrink the model at random; the small model, which has been found to compute what the zeroed one does."""
    graph = ChannelGraph(randomised(model, seed))
    kept, x = random_kept(graph, seed), inputs_of(model)
    assert any(not stays.all() for stays in kept.values())
    small = shrunk(graph, kept)
    assert small.count_params() < model.count_params()
    found, whole = outputs(small, x), outputs(model, x)
    with zeroed(graph, kept):
        expected = outputs(model, x)
    assert difference(found, expected) < 1e-5
    assert difference(whole, expected) > 1e-3, "removing channels has to change something"
    return small


def _normed(x: Any, filters: int, size: Any, **options: Any) -> Any:
    x = layers.Conv2D(filters, size, padding="same", use_bias=False, **options)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def ds_cnn(filters: int = 24, blocks: int = 2) -> Any:
    """The keyword spotter of the MLPerf Tiny benchmark in small."""
    inputs = layers.Input((49, 10, 1))
    x = _normed(inputs, filters, (10, 4), strides=2)
    x = layers.Dropout(0.2)(x)
    for _ in range(blocks):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = _normed(x, filters, 1)
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x), name="ds_cnn")


def resnet8() -> Any:
    """The image classifier of the MLPerf Tiny benchmark: three residual stacks."""
    inputs = layers.Input((32, 32, 3))
    x = _normed(inputs, 16, 3)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = _normed(x, filters, 3, strides=strides)
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(y))
        if strides > 1:
            x = layers.Conv2D(filters, 1, strides=strides, padding="same")(x)
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x), name="resnet8")


def mixed() -> Any:
    """A shared layer, a depth multiplier, a concatenation, squeeze-and-excite, and a Dense behind a Flatten."""
    inputs = layers.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same", name="stem")(inputs)
    shared = layers.Conv2D(16, 1, name="shared")
    first = shared(x)
    x = layers.Add(name="sum")([first, shared(layers.ReLU()(first))])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="twofold")(x)
    x = layers.Conv2D(24, 1, name="wide")(x)
    x = layers.Concatenate(name="both")([x, layers.Conv2D(8, 3, padding="same", name="narrow")(x)])
    gate = layers.Dense(8, activation="relu", name="squeeze")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Dense(32, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply()([x, layers.Reshape((1, 1, 32), name="gate")(gate)])
    x = layers.MaxPooling2D()(layers.Conv2D(12, 3, strides=2, name="late")(x))
    x = layers.Dense(20, activation="relu", name="hidden")(layers.Flatten(name="flat")(x))
    return keras.Model(inputs, layers.Dense(5, name="out")(x), name="mixed")

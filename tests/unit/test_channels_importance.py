from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import channel_twins
import tiny_models
from armopt.compress.backend import keras
from armopt.compress.channels.groups import ChannelGraph
from armopt.compress.channels.importance import channel_importance
from armopt.compress.channels.slim import score_channels, slim
from armopt.compress.data import Data
from armopt.compress.digits import build_digits_model, load_digits_data
from armopt.compress.models import copy_model
from armopt.compress.quality import score_keras
from armopt.compress.task import find_task
from armopt.core.profile import StageSettings

layers = keras.layers


def _two_ends() -> Any:
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="relu", name="conv")(inputs)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    pooled = layers.GlobalAveragePooling2D()(layers.SeparableConv2D(5, 3, name="separable")(x))
    return keras.Model(
        inputs, {"kind": layers.Dense(3, name="kind")(pooled), "size": layers.Dense(1, name="size")(pooled)}
    )


def _loss(model: Any, x: Any, y: dict[str, Any]) -> float:
    made = model(x, training=False)
    kind = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y["kind"], made["kind"])
    return float(kind) + float(keras.losses.MeanSquaredError()(y["size"][:, None], made["size"]))


def test_taylor_is_the_slope_of_the_loss_in_a_channels_slices() -> None:
    model = channel_twins.randomised(_two_ends())
    x = tiny_models.samples((8, 8, 3))
    y = {"size": x.mean((1, 2, 3)), "kind": tiny_models.labels(x)}
    task, data = find_task(model, tiny_models.data_of(x, (y["kind"], y["size"])))
    graph = ChannelGraph(model)
    found = channel_importance(graph, "taylor", data.train, task, 1)
    assert {name: len(scores) for name, scores in found.items()} == {"conv": 6, "separable": 5}

    def slope(group: int, channel: int, by: float = 0.01) -> float:
        losses = []
        for factor in (1 + by, 1 - by):
            copy = copy_model(model)
            twin = ChannelGraph(copy)
            for path, (attribute, axis, labels) in twin.consumers().items():
                kernel = getattr(twin.layers[path], attribute)
                last = np.moveaxis(kernel.numpy(), axis, -1)
                here = labels == twin.groups[group].classes[channel]
                kernel.assign(np.moveaxis(np.where(here, last * factor, last), -1, axis))
            losses.append(_loss(copy, x, y))
        return (losses[0] - losses[1]) / (2 * by)

    # 64 samples are one batch, so the score is the size of one slope.
    for group, channel in ((0, 0), (0, 4), (1, 2)):
        name = graph.groups[group].name
        assert found[name][channel] == pytest.approx(abs(slope(group, channel)), rel=0.024, abs=1e-3)


def test_scoring_leaves_the_model_as_it_was() -> None:
    model = tiny_models.conv2d()
    model.compile("sgd", "mse")
    optimizer, weights = model.optimizer, model.get_weights()
    context = tiny_models.context_for(tiny_models.conv2d())
    for layer in model.layers:
        layer.trainable = False
    scores = score_channels(model, StageSettings(), context.data, context.task)
    assert all((values > 0).any() for values in scores.importance.values()), "frozen kernels are scored too"
    assert model.optimizer is optimizer and model.loss == "mse"
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_samples_are_drawn_by_the_seed_and_fewer_than_a_batch_are_enough() -> None:
    model = channel_twins.randomised(tiny_models.conv2d())
    x = tiny_models.samples((8, 8, 3), 250)
    task, data = find_task(model, tiny_models.data_of(x, tiny_models.labels(x)))
    graph = ChannelGraph(model)

    def scores(seed: int, split: Any = data.train) -> Any:
        return channel_importance(graph, "taylor", split, task, seed)["conv"]

    assert np.array_equal(scores(1), scores(1)) and not np.array_equal(scores(1), scores(2))
    assert np.isfinite(scores(1, data.train.take(slice(0, 5)))).all()


def test_a_fixed_batch_is_filled() -> None:
    inputs = layers.Input(batch_shape=(4, 8, 8, 3))
    x = layers.Flatten()(layers.Conv2D(6, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(x))
    context = tiny_models.context_for(model)
    few = replace(context.data, train=context.data.train.take(slice(0, 3)))
    made = slim(model, StageSettings(width_step=1), few, context.task)
    assert made.model.input_shape == (4, 8, 8, 3) and made.report.widths == {"conv": (3, 6)}


def test_l1_weighs_the_kernels_that_sum_over_a_channel() -> None:
    model = tiny_models.conv2d()
    kernel = np.ones((3, 3, 8, 8), np.float32)
    kernel[:, :, 5] = 9.0
    model.get_layer("second").kernel.assign(kernel)
    context = tiny_models.context_for(model)
    scores = score_channels(model, StageSettings(importance="l1"), context.data, context.task).importance
    assert scores["conv"].argmax() == 5 and scores["conv"].mean() == pytest.approx(1)


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Data]:
    keras.utils.set_random_seed(1)
    model, data = build_digits_model(), load_digits_data()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.8  # its statistics would take more steps than there are here
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(data.train.x[0], data.train.y[0], batch_size=32, epochs=4, verbose=0)
    return model, data


def test_channels_that_taylor_chooses_are_worth_more_than_random_ones(digits: tuple[Any, Data]) -> None:
    model, data = digits
    task, data = find_task(model, data)

    def accuracy(how: str, seed: int = 1) -> float:
        asked = StageSettings.model_validate({"importance": how, "width": 0.9, "seed": seed})
        return score_keras(slim(model, asked, data, task).model, data.test, task)

    assert score_keras(model, data.test, task) > 0.9
    assert accuracy("taylor") > max(accuracy("random", seed) for seed in (1, 2)) + 0.2

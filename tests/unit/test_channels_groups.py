from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import channel_twins
import hard_models
from armopt.compress.backend import keras, tf
from armopt.compress.channels.groups import ChannelGraph
from armopt.core.errors import ModelError

layers = keras.layers


@keras.utils.register_keras_serializable("test_channels_groups")
class Mystery(layers.Layer):
    """Mixes its channels in a way that nothing outside can know."""

    def call(self, inputs: Any) -> Any:
        return tf.cumsum(inputs, -1)


@keras.utils.register_keras_serializable("test_channels_groups")
class MyConv(layers.Conv2D):
    """A class derived from a known one, which may compute anything."""


def _sizes(model: Any) -> dict[str, int]:
    return {group.name: len(group) for group in ChannelGraph(model).groups}


def _after_a_convolution(*rest: Any) -> Any:
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    for layer in rest:
        x = layer(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1, name="next")(x))
    return keras.Model(inputs, layers.Dense(3, name="out")(x))


def test_channels_that_meet_in_sums_products_and_shared_layers_are_one_group() -> None:
    graph = ChannelGraph(channel_twins.mixed())
    groups = {group.name: group.producers for group in graph.groups}
    assert _sizes(channel_twins.mixed()) == {
        "stem": 16,
        "wide": 24,
        "narrow": 8,
        "squeeze": 8,
        "late": 12,
        "hidden": 20,
    }
    assert groups["stem"] == ("stem", "shared")
    # The gate's channels are those of the concatenation that it multiplies.
    assert groups["wide"] == ("wide", "excite") and groups["narrow"] == ("narrow", "excite")


def test_residual_stages_are_scored_as_one() -> None:
    graph = ChannelGraph(channel_twins.resnet8())
    assert sorted(len(group.producers) for group in graph.groups) == [1, 1, 1, 2, 2, 2]


def test_outputs_stay_and_are_told_apart_from_what_is_held_for_another_reason() -> None:
    graph = ChannelGraph(channel_twins.mixed())
    assert [(one.layer, one.at_the_end) for one in graph.frozen] == [("out", True)]


def test_a_softmax_at_the_end_does_not_hold_what_it_is_computed_from() -> None:
    assert "conv" in _sizes(
        keras.Sequential(
            [
                layers.Input((8, 8, 3)),
                layers.Conv2D(8, 3, name="conv"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, "softmax"),
            ]
        )
    )


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (layers.LayerNormalization(name="held"), "of a kind that channels are not followed through"),
        (layers.Conv2DTranspose(8, 3, padding="same", name="held"), "of a kind that channels are not followed through"),
        (layers.Conv2D(8, 3, groups=2, padding="same", name="held"), "a grouped convolution"),
        (layers.Softmax(name="held"), "of a kind"),
        (layers.Activation("softmax", name="held"), "softmax"),
        (layers.Permute((3, 1, 2), name="held"), "moves the channels"),
        (layers.Dropout(0.5, noise_shape=(None, 1, 1, 8), name="held"), "counts the channels"),
        (layers.Reshape((32, 16, 1), name="held"), None),
        (layers.Reshape((16, 4, 8), name="held"), ""),
        (layers.BatchNormalization(axis=1, name="held"), "last axis"),
        (layers.TimeDistributed(layers.Dense(8), name="held"), "of a kind"),
        (Mystery(name="held"), "(Mystery) is of a kind"),
        (MyConv(8, 3, padding="same", name="held"), "(MyConv) is of a kind"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_what_channels_cannot_be_followed_through_holds_them_and_is_named(layer: Any, words: str | None) -> None:
    graph = ChannelGraph(_after_a_convolution(layer))
    frozen = {one.layer: one.reason for one in graph.frozen if not one.at_the_end}
    if words is None:  # all channels become one, since their places follow one another on the last axis of size one
        assert {group.name: len(group) for group in graph.groups}["conv"] == 1
    elif not words:
        assert not frozen and "conv" in {group.name for group in graph.groups}
    else:
        assert words in frozen["conv"] and "'held'" in frozen["conv"]
        assert "conv" not in {group.name for group in graph.groups}


def test_channels_that_meet_the_inputs_stay() -> None:
    inputs = layers.Input((8, 8, 3))
    x = layers.Add()([inputs, layers.Conv2D(3, 3, padding="same", name="conv")(inputs)])
    x = layers.Flatten()(layers.Conv2D(4, 3, name="next")(x))
    graph = ChannelGraph(keras.Model(inputs, layers.Dense(3)(x), name="skipping"))
    assert {one.layer: one.reason for one in graph.frozen}["conv"] == "it meets the inputs of model 'skipping'"


def test_tensorflow_functions_pass_channels_and_constants_for_each_channel_hold_them() -> None:
    def model(function: Any) -> Any:
        inputs = layers.Input((8, 8, 3))
        x = function(layers.Conv2D(8, 3, name="conv")(inputs))
        return keras.Model(inputs, layers.Dense(3)(x))

    passing = model(lambda x: tf.reduce_mean(tf.nn.relu6(x + 3.0) * x / 6.0, axis=[1, 2]))
    assert "conv" in _sizes(passing)
    scaled = ChannelGraph(model(lambda x: layers.Flatten()(x * np.arange(8, dtype=np.float32))))
    assert "a number for each channel" in scaled.frozen[0].reason
    summed = ChannelGraph(model(lambda x: layers.Flatten()(tf.reduce_sum(x, axis=-1, keepdims=True))))
    assert "sums over the channels" in summed.frozen[0].reason
    unknown = ChannelGraph(model(lambda x: layers.Flatten()(tf.roll(x, 1, -1))))
    assert "calls roll" in unknown.frozen[0].reason


def test_channels_first_are_held() -> None:
    inputs = layers.Input((3, 8, 8))
    x = layers.Conv2D(8, 3, data_format="channels_first", name="conv")(inputs)
    x = layers.Flatten()(x)
    graph = ChannelGraph(keras.Model(inputs, layers.Dense(3)(x)))
    assert "channels first" in {one.layer: one.reason for one in graph.frozen}["conv"] and not graph.groups


def test_a_map_of_one_channel_spread_over_many_holds_both() -> None:
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="conv")(inputs)
    x = layers.Multiply(name="attend")([x, layers.Conv2D(1, 1, activation="sigmoid", name="map")(x)])
    graph = ChannelGraph(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))))
    assert {one.layer for one in graph.frozen if "spreads one channel" in one.reason} == {"conv", "map"}


def test_groups_of_models_within_models_are_named_by_path() -> None:
    assert _sizes(hard_models.nested()) == {"backbone/conv": 12}


def test_a_layer_called_on_differing_numbers_of_channels_holds_them() -> None:
    inputs = layers.Input((8, 8, 3))
    pool = layers.GlobalAveragePooling2D()
    a, b = layers.Conv2D(8, 3, name="a")(inputs), layers.Conv2D(6, 3, name="b")(inputs)
    x = layers.Concatenate()([pool(a), pool(b)])
    assert _sizes(keras.Model(inputs, layers.Dense(3)(x))) == {"a": 8, "b": 6}


def test_multiply_accumulates_are_those_that_the_layers_formulas_give() -> None:
    graph = ChannelGraph(channel_twins.mixed())
    by_hand = 16 * 16 * (9 * 3 * 16 + 2 * 16 * 16 + 9 * 32 + 32 * 24 + 9 * 24 * 8)
    by_hand += 32 * 8 + 8 * 32 + 7 * 7 * 9 * 32 * 12 + 3 * 3 * 12 * 20 + 20 * 5
    assert graph.macs.total(graph.keep({})) == by_hand
    kept = channel_twins.random_kept(graph)
    small = ChannelGraph(channel_twins.assert_exact(channel_twins.mixed()))
    assert graph.macs.total(graph.keep(kept)) == small.macs.total(small.keep({}))


def test_layers_that_are_not_followed_are_counted_too() -> None:
    with_it = ChannelGraph(_after_a_convolution(layers.Conv2DTranspose(8, 3, strides=2, padding="same")))
    total = with_it.macs.total(with_it.keep({}))
    assert total == 64 * 9 * 3 * 8 + 64 * 9 * 8 * 8 + 256 * 8 * 6 + 6 * 3


def test_the_graph_leaves_no_trace_in_the_model() -> None:
    model = channel_twins.mixed()
    calls = [len(layer._inbound_nodes) for layer in model.layers]
    ChannelGraph(model)
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls


def test_a_class_with_a_call_of_its_own_is_refused() -> None:
    with pytest.raises(ModelError, match=r"is subclassed: its channels can't be followed; build it as a functional"):
        ChannelGraph(hard_models.subclassed())


def test_what_is_kept_has_to_fit() -> None:
    graph = ChannelGraph(channel_twins.mixed())
    for wrong in ({"nowhere": np.ones(4, bool)}, {"wide": np.ones(4, bool)}, {"wide": np.zeros(24, bool)}):
        with pytest.raises(ModelError, match="does not fit model 'mixed'"):
            graph.keep(wrong)

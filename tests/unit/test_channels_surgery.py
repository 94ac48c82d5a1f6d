from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import channel_twins
import hard_models
import tiny_models
from armopt.compress.backend import keras, tf
from armopt.compress.channels.groups import ChannelGraph
from armopt.compress.channels.kept import load_kept, save_kept
from armopt.compress.channels.surgery import shrink
from armopt.compress.kernels import kernels_of
from armopt.compress.models import load_model
from armopt.core.errors import ModelError

layers = keras.layers


@keras.utils.register_keras_serializable("test_channels_surgery")
class Scaled(layers.Layer):
    """A custom layer with a weight, and a layer inside that it does not name."""

    def build(self, shape: Any) -> None:
        self.inner = layers.Dense(shape[-1])
        self.factor = self.add_weight("factor", (shape[-1],), initializer="ones")
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs) * self.factor


def separable() -> Any:
    inputs = layers.Input((8, 8, 3))
    x = layers.SeparableConv2D(8, 3, depth_multiplier=2, name="first")(inputs)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.SeparableConv2D(6, 3, depth_multiplier=2, use_bias=False, name="second")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))


def one_dimensional() -> Any:
    inputs = layers.Input((24, 4))
    x = layers.PReLU()(layers.Conv1D(8, 3, padding="causal", name="conv")(inputs))
    x = layers.DepthwiseConv1D(3, depth_multiplier=2)(x)
    x = layers.SeparableConv1D(10, 3, name="separable")(layers.MaxPooling1D()(x))
    x = layers.RepeatVector(3)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, layers.Dense(3)(x))


def three_dimensional() -> Any:
    inputs = layers.Input((6, 6, 6, 2))
    x = layers.UpSampling3D()(layers.Conv3D(6, 3, activation="elu", name="conv")(inputs))
    x = layers.Conv3D(5, 2, activation=layers.LeakyReLU(0.1), name="next")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling3D()(x)))


def widened() -> Any:
    """Dense units that become the channels of a picture, and a flatten back."""
    inputs = layers.Input((10,))
    x = layers.Reshape((4, 4, 6), name="picture")(layers.Dense(96, activation="relu", name="units")(inputs))
    x = layers.Flatten()(layers.Conv2D(8, 3, name="conv")(x))
    return keras.Model(inputs, layers.Dense(3)(layers.Dense(12, name="hidden")(x)))


def several_ends() -> Any:
    """Two inputs, two outputs in a dictionary, one of them from the middle."""
    image, vector = layers.Input((8, 8, 3), name="image"), layers.Input((5,), name="vector")
    x = layers.Conv2D(8, 3, name="conv")(image)
    y = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.Dense(6, name="dense")(vector)])
    middle = layers.Dense(7, name="middle")(y)
    last = layers.Dense(3, name="last")(layers.Dense(9, name="hidden")(middle))
    return keras.Model([image, vector], {"last": last, "middle": middle})


def with_custom_parts() -> Any:
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="held")(inputs)
    x = layers.Conv2D(8, 1, name="free")(Scaled(name="custom")(x))
    x = layers.Conv2D(6, 1, name="held_again")(x)
    x = layers.Bidirectional(layers.LSTM(4), name="recurrent")(layers.Reshape((36, 6))(x))
    return keras.Model(inputs, layers.Dense(3)(x))


def nested_twice() -> Any:
    inner = keras.Sequential(
        [layers.Input((8, 8, 6)), layers.Conv2D(6, 3, padding="same", name="conv"), layers.BatchNormalization()],
        name="inner",
    )
    tail = keras.Sequential([layers.Input((8, 8, 6)), layers.Conv2D(5, 3, name="conv"), layers.Flatten()], name="tail")
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, name="conv")(inputs)
    return keras.Model(inputs, layers.Dense(3)(tail(inner(inner(x), training=False))), name="outer")


def of_open_size() -> Any:
    inputs = layers.Input((None, None, 3))
    x = layers.Resizing(8, 8)(layers.Conv2D(8, 3, name="conv")(inputs))
    x = layers.Cropping2D(1)(layers.ZeroPadding2D(2)(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D(keepdims=True)(x)))


MODELS: dict[str, Callable[[], Any]] = {
    "ds_cnn": channel_twins.ds_cnn,
    "mixed": channel_twins.mixed,
    "sequential": hard_models.two_convolutions,
    "nested": hard_models.nested,
    "shared_dense": tiny_models.shared,
    **{
        make.__name__: make
        for make in (separable, one_dimensional, three_dimensional, widened, several_ends, with_custom_parts)
    },
    **{make.__name__: make for make in (nested_twice, of_open_size)},
}


@pytest.mark.parametrize("name", MODELS)
def test_the_small_model_computes_what_the_given_one_does_with_those_slices_zero(name: str) -> None:
    model = MODELS[name]()
    if name == "shared_dense":  # the layer's outputs are its own inputs, the model's twelve
        assert not ChannelGraph(model).groups
        return
    channel_twins.assert_exact(model, seed=len(name))


class _Drawn:
    """Layers drawn one after the other, each put on tensors that are there already."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self._inputs = layers.Input((8, 8, 2))
        self._tensors = [layers.Conv2D(draw(st.integers(2, 6)), 1)(self._inputs)]
        self._reused: list[Any] = []

    def model(self) -> Any:
        kinds = (self._convolution, self._depthwise, self._add, self._concatenate, self._normalize, self._again)
        for _ in range(self._draw(st.integers(2, 6))):
            self._tensors.append(self._draw(st.sampled_from((*kinds, self._excite, self._pass)))())
        ends = [layers.GlobalAveragePooling2D()(self._tensors[-1]), layers.Flatten()(self._any())]
        x = layers.Dense(self._draw(st.integers(2, 5)), activation="tanh")(layers.Concatenate()(ends))
        return keras.Model(self._inputs, layers.Dense(3)(x))

    def _any(self) -> Any:
        return self._draw(st.sampled_from(self._tensors))

    def _convolution(self) -> Any:
        layer = layers.Conv2D(self._draw(st.integers(2, 6)), 3, padding="same", activation="relu")
        x = self._any()
        self._reused.append((layer, x.shape[-1]))
        return layer(x)

    def _depthwise(self) -> Any:
        multiplier = self._draw(st.integers(1, 2))
        return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=multiplier)(self._any())

    def _add(self) -> Any:
        x = self._any()
        alike = [tensor for tensor in self._tensors if tensor.shape[-1] == x.shape[-1]]
        merge = self._draw(st.sampled_from((layers.Add, layers.Multiply, layers.Maximum, layers.Average)))
        return merge()([x, self._draw(st.sampled_from(alike))])

    def _concatenate(self) -> Any:
        return layers.Concatenate()([self._any(), self._any()])

    def _normalize(self) -> Any:
        return layers.BatchNormalization()(self._any())

    def _again(self) -> Any:
        fitting = [(layer, t) for layer, wide in self._reused for t in self._tensors if t.shape[-1] == wide]
        if not fitting:
            return self._convolution()
        layer, x = self._draw(st.sampled_from(fitting))
        return layer(x)

    def _excite(self) -> Any:
        x = self._any()
        gate = layers.Dense(x.shape[-1], activation="sigmoid")(layers.GlobalMaxPooling2D()(x))
        return layers.Multiply()([x, layers.Reshape((1, 1, x.shape[-1]))(gate)])

    def _pass(self) -> Any:
        layer = self._draw(st.sampled_from((layers.ReLU, layers.LeakyReLU, layers.PReLU)))
        return layer()(self._any())


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_graph_of_these_layers_shrinks_exactly(data: Any) -> None:
    model = channel_twins.randomised(_Drawn(data.draw).model())
    graph = ChannelGraph(model)
    kept, x = channel_twins.random_kept(graph), channel_twins.inputs_of(model)
    small = shrink(model, kept)
    # What is whole stays as it was, in a model of its own.
    assert channel_twins.worst_difference(shrink(model, {}), model, x) < 1e-6
    with channel_twins.zeroed(graph, kept):
        assert channel_twins.worst_difference(small, model, x) < 1e-5


def test_the_given_model_is_untouched() -> None:
    model = channel_twins.randomised(channel_twins.mixed())
    model.compile("sgd", "mse")
    weights, config = model.get_weights(), model.to_json()
    small = shrink(model, channel_twins.random_kept(ChannelGraph(model)))
    for weight in small.weights:
        weight.assign(tf.zeros_like(weight))
    assert model.to_json() == config and model.loss == "mse"
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_kernels_keep_their_keys_and_frozen_layers_stay_frozen() -> None:
    model = nested_twice()
    model.get_layer("tail").trainable = False
    small = shrink(model, channel_twins.random_kept(ChannelGraph(model)))
    assert [kernel.key for kernel in kernels_of(small)] == [kernel.key for kernel in kernels_of(model)]
    assert len(small.trainable_weights) == len(model.trainable_weights)
    assert shrink(model, {}).get_config() == shrink(model, {}).get_config()


@pytest.mark.parametrize("ending", ["small.keras", "small.h5"])
def test_saved_and_loaded_it_computes_the_same(tmp_path: Path, ending: str) -> None:
    for model in (channel_twins.mixed(), nested_twice()):
        small = channel_twins.assert_exact(model)
        small.save(tmp_path / ending)
        loaded = load_model(str(tmp_path / ending)).model
        assert channel_twins.worst_difference(loaded, small, channel_twins.inputs_of(small)) < 1e-6


def test_what_is_kept_can_be_stored_and_the_model_built_again(tmp_path: Path) -> None:
    model = channel_twins.randomised(nested_twice())
    kept = channel_twins.random_kept(ChannelGraph(model))
    save_kept(tmp_path / "channels.npz", kept)
    again = load_kept(tmp_path / "channels.npz")
    assert list(again) == list(kept) and "tail/conv" in again
    small, rebuilt = shrink(model, kept), shrink(model, again)
    assert small.to_json() == rebuilt.to_json()
    assert all(np.array_equal(a, b) for a, b in zip(small.get_weights(), rebuilt.get_weights(), strict=True))
    (tmp_path / "damaged.npz").write_bytes(b"PK no")
    for name in ("damaged.npz", "missing.npz"):
        with pytest.raises(ModelError, match=f"can't be read from '.*{name}'; build the node again"):
            load_kept(tmp_path / name)


def test_a_layer_that_its_configuration_does_not_make_again_is_named() -> None:
    class Forgetful(layers.Layer):
        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self._factor = factor

        def call(self, inputs: Any) -> Any:
            return inputs * self._factor

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name}

    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="conv")(Forgetful(2.0, name="forgetful")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)), name="odd")
    with pytest.raises(ModelError, match=r"'odd' can't be built with fewer channels: .*; .* layer 'forgetful'"):
        shrink(model, {})

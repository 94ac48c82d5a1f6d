from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras as keras3
import numpy as np
import pytest

import tiny_models
from armopt.compress import bridge
from armopt.compress.backend import keras
from armopt.compress.bridge import TOLERANCE, bridge_model, check_bridge, outputs_differ
from armopt.compress.keras3_layer import Keras3Layer
from armopt.compress.models import as_source, copy_model, load_model
from armopt.core.errors import ModelError

L = keras3.layers


class Scaled(L.Layer):
    """A layer that only the user knows, with weights, a training switch and a configuration."""

    def __init__(self, units: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w")
        self.seen = self.add_weight(shape=(), name="seen", trainable=False, initializer="zeros")

    def call(self, x: Any, training: bool = False) -> Any:
        return keras3.ops.matmul(x, self.w) * (100.0 if training else 1.0)

    def get_config(self) -> Any:
        return {**super().get_config(), "units": self.units}


def _normed(x: Any) -> Any:
    return L.BatchNormalization(gamma_initializer="random_normal", moving_mean_initializer="random_normal")(x)


def _convolutions(x: Any) -> Any:
    x = _normed(L.Conv2D(8, 3, padding="same", activation="relu")(x))
    x = L.SeparableConv2D(8, 3, padding="same")(x) + x
    x = L.LeakyReLU(negative_slope=0.1)(x)
    x = L.ReLU(6.0)(_normed(L.DepthwiseConv2D(3, depth_multiplier=2)(x)))
    x = L.Conv2DTranspose(4, 2, strides=2)(L.ZeroPadding2D(1)(x))
    return L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(L.MaxPooling2D()(x)))


def _series(x: Any) -> Any:
    x = L.Conv1D(6, 3, activation="gelu")(x)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    return L.Dense(2)(L.GRU(5)(L.LayerNormalization()(x)))


def _nested(x: Any) -> Any:
    inner = keras3.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3), L.Flatten()], name="inner")
    return L.Dense(2)(inner(x))


def _shared(x: Any) -> Any:
    same = L.Dense(6, activation="tanh")
    return L.Dense(2)(same(same(x)))


def _operations(x: Any) -> Any:
    ops = keras3.ops
    x = ops.relu(L.Dense(6)(x) * 2.0 - 0.5)
    x = ops.concatenate([x, ops.sqrt(ops.square(x) + 1.0)], axis=-1)
    return L.Dense(2)(ops.mean(ops.reshape(x, (-1, 4, 3)), axis=1))


def _attention(x: Any) -> Any:
    x = L.MultiHeadAttention(2, 3)(x, x) + x
    return L.Dense(2)(L.GlobalAveragePooling1D()(L.LayerNormalization()(x)))


def _custom(x: Any) -> Any:
    return L.Dense(3)(L.ReLU()(Scaled(5, name="scaled")(x)))


CASES: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "convolutions": ((8, 8, 3), _convolutions),
    "series": ((10, 4), _series),
    "nested": ((8, 8, 3), _nested),
    "shared": ((6,), _shared),
    "operations": ((5,), _operations),
    "attention": ((6, 4), _attention),
    "custom": ((7,), _custom),
}


def _model3(name: str) -> Any:
    shape, build = CASES[name]
    inputs = L.Input(shape)
    keras3.utils.set_random_seed(3)
    return keras3.Model(inputs, build(inputs), name=name)


@pytest.mark.parametrize("name", list(CASES))
def test_a_bridged_model_says_the_same(name: str, tmp_path: Path) -> None:
    model3 = _model3(name)
    model3.save(tmp_path / "model.keras")
    model2 = bridge_model(tmp_path / "model.keras", {"Scaled": Scaled}, False)
    x = tiny_models.samples(CASES[name][0], 16, seed=9)
    first, second = np.asarray(model3(x)), np.asarray(model2(x))
    assert isinstance(model2, keras.Model)
    np.testing.assert_allclose(second, first, atol=1e-4 * max(1.0, float(np.abs(first).max())))
    assert np.abs(first).max() > 1e-3


def test_a_bridged_model_can_be_copied_trained_and_leaves_its_source_alone() -> None:
    model3 = _model3("custom")
    source = as_source(model3).model
    before = [weight.copy() for weight in source.get_weights()]
    copy = copy_model(source)
    x = tiny_models.samples((7,))
    np.testing.assert_allclose(copy.predict(x, verbose=0), source.predict(x, verbose=0), atol=1e-5)
    copy.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    copy.fit(x, tiny_models.labels(x), epochs=1, verbose=0)
    after = copy.get_layer("scaled").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), before, strict=True))
    assert not np.array_equal(after[0], source.get_layer("scaled").get_weights()[0])


def test_an_adapted_layer_has_its_weights_and_obeys_the_training_switch() -> None:
    layer = as_source(_model3("custom")).model.get_layer("scaled")
    assert isinstance(layer, Keras3Layer)
    assert [tuple(weight.shape) for weight in layer.weights] == [(7, 5), ()]
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(7, 5)]
    x = tiny_models.samples((7,), 4)
    np.testing.assert_allclose(layer(x, training=True), 100 * layer(x, training=False), rtol=1e-5)


def test_a_bridged_nested_model_has_each_weight_once_and_trains_them() -> None:
    model2 = as_source(_model3("nested")).model
    assert len(model2.get_weights()) == 4
    assert len({id(weight) for weight in model2.trainable_weights}) == 4


def test_a_compiled_keras_3_model_brings_its_loss_and_metric() -> None:
    model3 = _model3("convolutions")
    model3.compile("adam", keras3.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    model2 = as_source(model3).model
    assert isinstance(model2.loss, keras.losses.SparseCategoricalCrossentropy)
    assert model2.loss.get_config()["from_logits"]


def test_several_inputs_and_outputs_keep_their_order() -> None:
    z, a = L.Input((3,), name="zeta"), L.Input((2,), name="alpha")
    model3 = keras3.Model([z, a], [L.Dense(4, name="y")(z), L.Dense(5, name="b")(L.Concatenate()([a, z]))])
    model2 = as_source(model3).model
    assert [tuple(tensor.shape) for tensor in model2.inputs] == [(None, 3), (None, 2)]
    assert [tuple(tensor.shape) for tensor in model2.outputs] == [(None, 4), (None, 5)]
    x = [tiny_models.samples((3,), 4), tiny_models.samples((2,), 4)]
    assert outputs_differ(model3, model2, x) < TOLERANCE


def test_a_model_that_says_something_else_is_refused() -> None:
    model3 = _model3("shared")
    model2 = as_source(model3).model
    x = tiny_models.samples((6,), 8)
    check_bridge(model3, model2, x)
    model2.set_weights([weight * 1.01 for weight in model2.get_weights()])
    with pytest.raises(ModelError, match=r"says something else in Keras 2.*outputs differ by 0\.0"):
        check_bridge(model3, model2, x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_agree_with_nothing(value: float) -> None:
    model3 = _model3("shared")
    model2 = as_source(model3).model
    model2.set_weights([np.full_like(weight, value) for weight in model2.get_weights()])
    with pytest.raises(ModelError, match="says something else"):
        check_bridge(model3, model2, tiny_models.samples((6,), 8))


def test_outputs_that_are_not_finite_in_both_agree() -> None:
    inputs = L.Input((6,))
    model3 = keras3.Model(inputs, keras3.ops.log(inputs))
    x = tiny_models.samples((6,), 8)
    assert np.isnan(model3(x)).any()
    check_bridge(model3, as_source(model3).model, x)


def test_weights_that_were_not_copied_are_caught_while_bridging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_copy_weights", lambda layer3, layer2: None)
    with pytest.raises(ModelError, match="says something else"):
        as_source(_model3("shared"))


def test_a_subclassed_model_is_refused_with_what_to_do() -> None:
    class Net(keras3.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = L.Dense(2)

        def call(self, x: Any) -> Any:
            return self.layer(x)

    net = Net()
    net(np.zeros((1, 3), np.float32))
    with pytest.raises(ModelError, match=r"subclassed Keras 3 model.*functional API"):
        as_source(net)


def test_a_sequential_model_that_was_never_built_is_refused() -> None:
    with pytest.raises(ModelError, match="no known input shape; build it before saving"):
        as_source(keras3.Sequential([L.Dense(2)]))


def test_an_operation_without_a_twin_is_named() -> None:
    inputs = L.Input((4,))
    model3 = keras3.Model(inputs, keras3.ops.cumsum(inputs, axis=-1))
    with pytest.raises(ModelError, match=r"keras.ops CumSum|keras.ops Cumsum") as caught:
        as_source(model3)
    assert "\n" not in str(caught.value)


def test_a_custom_keras_3_layer_without_its_module_is_named(tmp_path: Path) -> None:
    class Unheard(L.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    keras3.Sequential([L.Input((3,)), Unheard()]).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="Unheard") as caught:
        load_model(str(tmp_path / "model.keras"))
    assert "--custom-objects" in caught.value.mend and "\n" not in str(caught.value)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armopt.compress.backend import keras
from armopt.compress.flatten import flatten, is_graph

layers = keras.layers


def _block(name: str, depth: int = 1) -> Any:
    inputs = layers.Input((8,))
    x = layers.Dense(8, name="dense")(inputs)
    return keras.Model(inputs, _block(f"{name}_in", depth - 1)(x) if depth else x, name=name)


def test_models_within_models_become_calls_of_their_layers_under_their_paths() -> None:
    inputs = layers.Input((8,))
    model = keras.Model(inputs, layers.Dense(3, name="out")(_block("block", 2)(inputs)))
    flat = flatten(model)
    assert [call.path for call in flat.calls] == [
        "block/dense",
        "block/block_in/dense",
        "block/block_in/block_in_in/dense",
        "out",
    ]
    # Each takes what the one before it made, the first the model's input, and the last makes its output.
    assert flat.calls[0].inputs == flat.inputs
    for before, after in zip(flat.calls, flat.calls[1:], strict=False):
        assert after.inputs == list(before.outputs)
    assert flat.outputs == list(flat.calls[-1].outputs)


def test_a_model_that_is_called_twice_has_its_calls_twice_and_they_are_numbered() -> None:
    block, inputs = _block("block", 0), layers.Input((8,))
    flat = flatten(keras.Model(inputs, layers.Add(name="sum")([block(inputs), block(block(inputs))])))
    dense = [call for call in flat.calls if call.path == "block/dense"]
    assert [call.number for call in dense] == [0, 1, 2]
    assert len({id(call.layer) for call in dense}) == 1
    assert len(next(call for call in flat.calls if call.path == "sum").inputs) == 2


@pytest.mark.parametrize("training", [False, None])
def test_an_inner_model_called_for_inference_hands_that_to_its_layers(training: bool | None) -> None:
    inner = keras.Sequential(
        [layers.Input((8,)), layers.BatchNormalization(name="norm"), layers.Dense(4)], name="inner"
    )
    inputs = layers.Input((8,))
    flat = flatten(keras.Model(inputs, inner(inputs, training=training)))
    norm, dense = flat.calls
    assert norm.kwargs.get("training") is training
    assert "training" not in dense.kwargs


def test_consumers_and_makers_say_who_takes_and_who_makes_a_value() -> None:
    inputs = layers.Input((8,))
    x = layers.Dense(8, name="first")(inputs)
    model = keras.Model(inputs, [layers.Dense(2, name="second")(x), x])
    flat = flatten(model)
    first = next(call for call in flat.calls if call.path == "first")
    second = next(call for call in flat.calls if call.path == "second")
    assert flat.consumers()[first.outputs[0]] == [second, None]
    assert flat.makers()[first.outputs[0]] is first and flat.inputs[0] not in flat.makers()


def test_several_inputs_of_an_inner_model_keep_their_order() -> None:
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    inner = keras.Model([a, b], layers.Subtract(name="gap")([a, b]), name="inner")
    first, second = layers.Input((4,)), layers.Input((4,))
    flat = flatten(keras.Model([first, second], inner([second, first])))
    assert flat.calls[0].inputs == [flat.inputs[1], flat.inputs[0]]


class Halved(keras.Model):
    def __init__(self) -> None:
        inputs = layers.Input((4,))
        super().__init__(inputs, layers.Dense(2)(inputs))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs, training, mask) / 2


def test_only_models_whose_graph_is_all_that_they_compute_count_as_graphs() -> None:
    assert is_graph(keras.Sequential([layers.Input((4,)), layers.Dense(2)]))
    assert is_graph(_block("block"))
    assert not is_graph(keras.Sequential([layers.Dense(2)]))
    assert not is_graph(Halved())
    assert not is_graph(layers.Dense(2))


def test_a_sequential_model_that_got_its_shape_late_is_flattened_too() -> None:
    inner = keras.Sequential([layers.Dense(5, name="late")], name="inner")
    inputs = layers.Input((4,))
    model = keras.Model(inputs, inner(inputs))
    assert [call.path for call in flatten(model).calls] == ["inner/late"]
    assert np.array_equal(flatten(model).calls[0].layer.kernel, inner.get_weights()[0])

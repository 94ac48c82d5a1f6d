from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.ends import first_layers, last_layers
from armopt.compress.models import as_source

layers = keras.layers


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Dense", {"hidden/kernel"}, {"out/kernel"}),
        ("Conv2D", {"conv/kernel"}, {"out/kernel"}),
        ("SeparableConv2D", {"separable/depthwise_kernel", "separable/pointwise_kernel"}, {"out/kernel"}),
        ("LSTM", {"lstm/lstm_cell/kernel", "lstm/lstm_cell/recurrent_kernel"}, {"out/kernel"}),
        ("nested", {"inner/conv/kernel"}, {"out/kernel"}),
        ("shared", {"same/kernel"}, {"out/kernel"}),
    ],
)
def test_the_ends_of_a_chain_are_its_first_and_its_last_layer(name: str, first: set[str], last: set[str]) -> None:
    model = tiny_models.BUILDERS[name]()
    if name == "LSTM":
        # Keys of cells count on within a process; what matters here is which layer they are of.
        assert {key.split("/")[0] for key in first_layers(model)} == {"lstm"}
        assert len(first_layers(model)) == 2
    else:
        assert first_layers(model) == first
    assert last_layers(model) == last


def test_each_branch_has_ends_of_its_own() -> None:
    image, vector = layers.Input((8, 8, 3)), layers.Input((5,))
    seen = layers.Conv2D(4, 3, padding="same", name="seen")(image)
    short = layers.Conv2D(4, 1, name="short")(image)
    deep = layers.Conv2D(4, 3, padding="same", name="deep")(seen)
    joined = layers.Concatenate()([layers.Flatten()(layers.add([deep, short])), layers.Dense(3, name="side")(vector)])
    body = layers.Dense(4, name="body")(joined)
    model = keras.Model([image, vector], [layers.Dense(2, name="one")(body), layers.Dense(2, name="two")(body)])
    assert first_layers(model) == {"seen/kernel", "short/kernel", "side/kernel"}
    assert last_layers(model) == {"one/kernel", "two/kernel"}


def test_a_detour_around_layers_does_not_make_later_ones_first() -> None:
    inputs = layers.Input((6,))
    added = layers.add([inputs, layers.Dense(6, name="around")(inputs)])
    model = keras.Model(inputs, layers.Dense(2, name="out")(added))
    assert (first_layers(model), last_layers(model)) == ({"around/kernel"}, {"out/kernel"})


def test_words_that_are_looked_up_and_cells_in_a_loop_are_in_the_order_of_the_data() -> None:
    ids = layers.Input((5,), dtype="int32")
    states = layers.RNN([layers.LSTMCell(3, name="low"), layers.GRUCell(2, name="high")], name="loop")(
        layers.Embedding(9, 4, name="words")(ids)
    )
    model = keras.Model(ids, states)
    assert first_layers(model) == {"words/embeddings"}
    assert {key.split("/")[-2] for key in last_layers(model)} == {"high"}


class Backwards(keras.Model):
    """Makes its layers in another order than it calls them, and again within its call."""

    def __init__(self) -> None:
        super().__init__(name="backwards")
        self.last = layers.Dense(2, name="last")
        self.middle = layers.Dense(4, name="middle")
        self.first = layers.Dense(4, name="first")

    def call(self, x: Any) -> Any:
        return self.last(self.middle(self.first(x)))


def test_a_subclassed_model_is_followed_as_it_is_called_not_as_it_was_written() -> None:
    model = Backwards()
    model.predict(np.zeros((2, 3), np.float32), verbose=0)
    functional = as_source(model).model
    assert {key.split("/")[-2] for key in first_layers(functional)} == {"first"}
    assert {key.split("/")[-2] for key in last_layers(functional)} == {"last"}

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.kernels import Kernel, einsum_inputs, einsum_is_batched, is_spared, kernels_of
from armopt.compress.models import copy_model

layers = keras.layers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dense", {"hidden/kernel": "dense", "out/kernel": "dense"}),
        ("Conv2D", {"conv/kernel": "conv", "second/kernel": "conv", "out/kernel": "dense"}),
        (
            "SeparableConv2D",
            {
                "separable/depthwise_kernel": "depthwise",
                "separable/pointwise_kernel": "conv",
                "out/kernel": "dense",
            },
        ),
        ("nested", {"inner/conv/kernel": "conv", "out/kernel": "dense"}),
        ("shared", {"same/kernel": "dense", "out/kernel": "dense"}),
    ],
)
def test_kernels_are_named_by_their_path(name: str, expected: dict[str, str]) -> None:
    found = kernels_of(tiny_models.BUILDERS[name]())
    assert {kernel.key: kernel.kind for kernel in found} == expected
    assert len(found) == len(expected)


def test_an_lstm_has_two_kernels_and_biases_are_none() -> None:
    found = {
        kernel.key.rsplit("/", 1)[1]: kernel for kernel in kernels_of(tiny_models.lstm()) if kernel.kind != "dense"
    }
    assert set(found) == {"kernel", "recurrent_kernel"}
    assert {kernel.kind for kernel in found.values()} == {"recurrent"}
    assert tuple(found["recurrent_kernel"].variable.shape) == (8, 32)


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_a_copy_has_the_same_keys_for_the_same_values(name: str) -> None:
    model = tiny_models.BUILDERS[name]()
    first, second = kernels_of(model), kernels_of(copy_model(model))
    assert [kernel.key for kernel in first] == [kernel.key for kernel in second]
    for one, other in zip(first, second, strict=True):
        assert one.variable is not other.variable
        assert np.array_equal(one.variable.numpy(), other.variable.numpy())


def test_every_kernel_layer_is_known() -> None:
    image, series, ids = layers.Input((8, 8, 2)), layers.Input((8, 4)), layers.Input((5,), dtype="int32")
    parts = [
        layers.Conv2DTranspose(2, 3, name="up")(image),
        layers.DepthwiseConv2D(3, name="dw")(image),
        layers.Conv1DTranspose(2, 3, name="up1")(series),
        layers.SeparableConv1D(2, 3, name="sep1")(series),
        layers.Bidirectional(layers.GRU(3, name="gru"), name="both")(series),
        layers.TimeDistributed(layers.Dense(2, name="each"), name="timed")(series),
        layers.MultiHeadAttention(1, 2, name="attention")(series, series),
        layers.Embedding(7, 3, name="words")(ids),
        layers.SimpleRNN(3, name="simple")(series),
    ]
    model = keras.Model([image, series, ids], [layers.Flatten()(part) for part in parts])
    kinds: dict[str, list[str]] = {}
    for kernel in kernels_of(model):
        kinds.setdefault(kernel.key.split("/")[0], []).append(kernel.kind)
    assert kinds == {
        "up": ["conv_transpose"],
        "dw": ["depthwise"],
        "up1": ["conv_transpose"],
        "sep1": ["depthwise", "conv"],
        "both": ["recurrent"] * 4,
        "timed": ["dense"],
        "attention": ["einsum"] * 4,
        "words": ["embedding"],
        "simple": ["recurrent"] * 2,
    }


def test_frozen_layers_are_compressed_too_in_a_copy_as_well() -> None:
    # Transfer learning leaves most of a network frozen: it has to shrink all the same.
    model = tiny_models.dense()
    model.get_layer("hidden").trainable = False
    for one in (model, copy_model(model)):
        assert [kernel.key for kernel in kernels_of(one)] == ["hidden/kernel", "out/kernel"]


def test_layers_within_a_custom_layer_and_a_subclassed_model_are_found() -> None:
    class Block(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.inner = layers.Dense(4, name="inner")

        def call(self, x: Any) -> Any:
            return self.inner(x)

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def call(self, x: Any) -> Any:
            return self.block(x)

    net = Net()
    net(np.zeros((1, 3), np.float32))
    assert [kernel.key for kernel in kernels_of(net)] == ["block/inner/kernel"]


@pytest.mark.parametrize(
    ("pattern", "spared"), [("out", True), ("o*", True), ("head/out/*", True), ("ou", False), ("kernel", False)]
)
def test_layers_are_spared_by_name_or_key(pattern: str, spared: bool) -> None:
    assert is_spared(Kernel("head/out/kernel", "out", "dense", None), (pattern,)) is spared


@pytest.mark.parametrize(
    ("layer", "shape", "matrix"),
    [
        (lambda: layers.Conv1D(5, 3), (8, 4), (5, 3 * 4)),
        (lambda: layers.Conv2D(5, (3, 2)), (8, 8, 4), (5, 3 * 2 * 4)),
        (lambda: layers.Conv3D(5, 2), (4, 4, 4, 3), (5, 8 * 3)),
        (lambda: layers.Conv2DTranspose(5, 3), (8, 8, 4), (5, 9 * 4)),
        (lambda: layers.Conv3DTranspose(5, 2), (4, 4, 4, 3), (5, 8 * 3)),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4), (8, 9)),
        (lambda: layers.Dense(5), (4,), (5, 4)),
        (lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 5)), (3, 4), (10, 4)),
        (lambda: layers.EinsumDense("abcd,cde->abe", (None, 5)), (3, 2, 4), (5, 8)),
        (lambda: layers.EinsumDense("...x,yx->...y", 5), (3, 4), (5, 4)),
    ],
)
def test_as_a_matrix_each_row_holds_what_one_output_sums_up(layer: Any, shape: Any, matrix: Any) -> None:
    made = layer()
    inputs = layers.Input(shape)
    (kernel,) = kernels_of(keras.Model(inputs, made(inputs)))
    values = kernel.variable.numpy()
    assert kernel.as_matrix(values).shape == matrix
    assert np.array_equal(kernel.from_matrix(kernel.as_matrix(values)), values)
    # An output whose row is zero does not depend on the data; the others do.
    zeroed = kernel.as_matrix(values).copy()
    zeroed[0] = 0
    kernel.variable.assign(kernel.from_matrix(zeroed))
    outputs = made(np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)).numpy()
    rows = matrix[0]
    by_output = outputs.reshape(-1, rows)
    assert not by_output[:, 0].any() and by_output[:, 1:].any(0).all()


def test_parts_of_one_name_have_keys_of_their_own_in_a_copy_too() -> None:
    class Twins(layers.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.parts = [layers.Dense(4, name="part"), layers.Dense(4, name="part")]

        def call(self, x: Any) -> Any:
            return self.parts[1](self.parts[0](x))

    model = keras.Sequential([layers.Input((4,)), Twins(name="twins")])
    for one in (model, copy_model(model)):
        assert [kernel.key for kernel in kernels_of(one)] == ["twins/part/kernel", "twins/part/kernel~2"]


@pytest.mark.parametrize(
    ("equation", "inputs", "batched"),
    [
        ("abc,cde->abde", (0,), False),
        ("abcd,cde->abe", (0, 1), False),
        ("...x, xy -> ...y", (0,), False),
        ("abc,dc->abd", (1,), False),
        ("abc,bcd->abd", (1,), True),
    ],
)
def test_an_equation_tells_what_is_summed_over_and_whether_places_share_weights(
    equation: str, inputs: tuple[int, ...], batched: bool
) -> None:
    assert (einsum_inputs(equation), einsum_is_batched(equation)) == (inputs, batched)

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.compress.kernels import kernels_of
from armopt.compress.scales import scale_groups
from armopt.compress.tflite_file import read_weights

layers = keras.layers


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: layers.EinsumDense("abc,cde->abde", (None, 3, 4)), (6, 8)),
        (lambda: layers.EinsumDense("abcd,cde->abe", (None, 10)), (6, 3, 4)),
        (lambda: layers.EinsumDense("abc,dc->abd", (None, 10)), (6, 8)),
        (lambda: layers.EinsumDense("abc,dec->abde", (None, 3, 4)), (6, 8)),
    ],
)
def test_the_groups_of_an_einsum_are_those_whose_scales_the_file_has(layer: Any, shape: Any, tmp_path: Path) -> None:
    inputs = layers.Input(shape)
    model = keras.Model(inputs, layer()(inputs))
    (kernel,) = kernels_of(model)
    values = kernel.variable.numpy()
    groups = scale_groups(kernel.kind, values.shape, kernel.inputs)
    assert groups is not None
    # Every group gets a range of its own, which its scale then tells apart.
    values *= 1 + np.broadcast_to(groups, values.shape)
    kernel.variable.assign(values)
    export_tflite(model, Split((tiny_models.samples(shape, 8),)), tmp_path / "model.tflite")
    (tensor,) = read_weights(tmp_path / "model.tflite")
    wanted = [
        np.abs(values[np.broadcast_to(groups, values.shape) == group]).max() / 127 for group in range(groups.size)
    ]
    np.testing.assert_allclose(np.sort(tensor.scales), np.sort(wanted), rtol=1e-5)


def test_an_einsum_with_weights_of_each_place_has_one_scale(tmp_path: Path) -> None:
    inputs = layers.Input((6, 8))
    model = keras.Model(inputs, layers.EinsumDense("abc,bcd->abd", (6, 10))(inputs))
    (kernel,) = kernels_of(model)
    assert scale_groups(kernel.kind, tuple(kernel.variable.shape), kernel.inputs) is None
    export_tflite(model, Split((tiny_models.samples((6, 8), 8),)), tmp_path / "model.tflite")
    (tensor,) = read_weights(tmp_path / "model.tflite")
    assert (tensor.operator, tensor.scales.size) == ("BATCH_MATMUL", 1)

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import tiny_models
from armopt.compress.backend import keras, tf
from armopt.compress.packing import packed

BUILDERS = [tiny_models.conv2d, tiny_models.dense, tiny_models.lstm, tiny_models.separable]


def _converted(build: Callable[[], Any], integers: bool = True) -> bytes:
    """What the converter writes, before armopt lays it out anew."""
    keras.utils.set_random_seed(3)
    model = build()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if integers:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
        converter.representative_dataset = lambda: (
            [tiny_models.samples(shape, 1) for shape in shapes] for _ in range(8)
        )
    content: bytes = converter.convert()
    return content


def _outputs(content: bytes) -> list[Any]:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(
            detail["index"], tiny_models.samples(tuple(detail["shape"][1:]), 1).astype(detail["dtype"])
        )
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


@pytest.mark.parametrize("build", BUILDERS)
def test_a_packed_file_computes_the_same_bits_and_is_no_larger(build: Callable[[], Any]) -> None:
    content = _converted(build)
    made = packed(content)
    assert len(made) <= len(content) and made != content
    assert all(np.array_equal(one, other) for one, other in zip(_outputs(content), _outputs(made), strict=True))


def test_packing_twice_changes_nothing_more() -> None:
    once = packed(_converted(tiny_models.conv2d))
    assert packed(once) == once


def test_constants_stay_aligned_to_16_bytes_as_the_schema_asks() -> None:
    made = packed(_converted(tiny_models.conv2d))
    model = schema.Model.GetRootAs(made, 0)
    places = []
    for number in range(model.BuffersLength()):
        buffer = model.Buffers(number)
        if buffer.DataLength():
            slot = buffer._tab.Offset(4)
            places.append(buffer._tab.Vector(slot))
    assert len(places) >= 3 and all(place % 16 == 0 for place in places)


def test_alike_vectors_stand_together_so_that_the_file_compresses_better() -> None:
    def wide() -> Any:
        inputs = keras.layers.Input((8, 8, 16))
        x = inputs
        for _ in range(4):
            x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
            x = keras.layers.Conv2D(96, 1, use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))

    content = _converted(wide)
    made = packed(content)
    assert len(gzip.compress(made, 9)) < len(gzip.compress(content, 9))
    assert len(made) < 0.95 * len(content)


def test_a_file_of_which_packing_would_lose_a_field_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _converted(tiny_models.conv2d)
    pack = schema.TensorT.Pack

    def forgetful(tensor: Any, builder: Any) -> Any:
        kept, tensor.name = tensor.name, None
        offset, tensor.name = pack(tensor, builder), kept
        return offset

    monkeypatch.setattr(schema.TensorT, "Pack", forgetful)
    assert packed(content) == content

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.models import predict
from armopt.compress.unrolled import unrolled
from armopt.core.errors import ConversionError

layers = keras.layers


def _model(layer: Any, before: Any = None, batch: int | None = None) -> Any:
    inputs = layers.Input(batch_shape=(batch, 6, 5))
    return keras.Model(inputs, layers.Dense(3, name="out")(layer(before(inputs) if before else inputs)))


@pytest.mark.parametrize(
    ("layer", "before", "chained"),
    [
        (lambda: layers.SimpleRNN(4, name="loop"), None, ["loop"]),
        (lambda: layers.GRU(4, name="loop"), None, ["loop"]),
        (lambda: layers.GRU(4, name="loop", unroll=True), None, []),
        (lambda: layers.LSTM(4, name="loop"), None, []),
        (lambda: layers.LSTM(4, name="loop", use_bias=False), None, ["loop"]),
        (lambda: layers.LSTM(4, name="loop"), layers.Masking, ["loop"]),
        (lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], name="loop"), None, ["loop"]),
        (lambda: layers.Bidirectional(layers.GRU(4, name="loop")), None, ["forward_loop", "backward_loop"]),
    ],
)
def test_layers_run_without_a_loop_where_the_converter_needs_it_and_are_as_before_after_it(
    layer: Any, before: Any, chained: list[str]
) -> None:
    model = _model(layer(), before() if before else None)
    loops = [part for part in model._flatten_layers() if isinstance(part, keras.layers.RNN)]
    states = [dict(vars(part)) for part in loops]
    x = tiny_models.samples((6, 5), 4)
    wanted = model(x).numpy()
    with unrolled(model) as names:
        assert names == chained
        assert all(part.unroll for part in loops if part.name in chained)
        np.testing.assert_allclose(model(x).numpy(), wanted, atol=1e-5)
    for part, state in zip(loops, states, strict=True):
        assert part.unroll == state["unroll"]
        assert getattr(part, "_could_use_gpu_kernel", None) == state.get("_could_use_gpu_kernel")


def test_layers_are_as_before_after_an_error_too() -> None:
    model = _model(layers.GRU(4, name="loop"))
    with pytest.raises(RuntimeError), unrolled(model):
        raise RuntimeError
    assert not model.get_layer("loop").unroll and model.get_layer("loop")._could_use_gpu_kernel


def test_an_unrolled_layer_is_quantized_and_computes_what_keras_does(tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    model, x = _model(layers.GRU(8, name="loop")), (tiny_models.samples((6, 5)),)
    exported = export_tflite(model, Split(x), tmp_path / "model.tflite")
    assert exported.notes[-1] == "unrolled, since the converter dies of their loops: loop"
    wanted = predict(model, x)[0]
    got = HostInterpreter(tmp_path / "model.tflite").run(x)[0]
    np.testing.assert_allclose(got, wanted, atol=0.1 * np.abs(wanted).max())


def test_a_stateful_layer_is_refused_since_a_file_has_no_state(tmp_path: Path) -> None:
    model = _model(layers.LSTM(4, name="loop", stateful=True), batch=1)
    with pytest.raises(ConversionError, match="'loop' is stateful") as caught:
        export_tflite(model, Split((tiny_models.samples((6, 5), 4),)), tmp_path / "model.tflite")
    assert "\n" not in str(caught.value)

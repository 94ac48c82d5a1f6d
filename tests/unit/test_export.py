from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress import export as export_module
from armopt.compress.audit import audit
from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.models import predict
from armopt.compress.promises import promises_of
from armopt.compress.stages import STAGES, Workpiece
from armopt.compress.tflite_file import read_weights
from armopt.core.errors import ConversionError, StoreError
from armopt.core.stages import FACTS

layers = keras.layers


def _interpreter(model: Any, x: tuple[Any, ...], path: Path, **options: Any) -> HostInterpreter:
    assert export_tflite(model, Split(x), path, **options).notes == ()
    return HostInterpreter(path, threads=1)


def _dtypes(interpreter: HostInterpreter) -> list[Any]:
    return [detail["dtype"] for detail in (*interpreter.inputs, *interpreter.outputs)]


@pytest.mark.parametrize(("float_io", "dtype"), [(False, np.int8), (True, np.float32)])
def test_inputs_and_outputs_are_int8_unless_floats_are_asked_for(tmp_path: Path, float_io: bool, dtype: Any) -> None:
    model, x = tiny_models.conv2d(), (tiny_models.samples((8, 8, 3)),)
    interpreter = _interpreter(model, x, tmp_path / "model.tflite", float_io=float_io)
    assert _dtypes(interpreter) == [dtype, dtype] and interpreter.batch == 1
    wanted = predict(model, x)[0]
    np.testing.assert_allclose(interpreter.run(x)[0], wanted, atol=0.05 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("numbers", "dtype", "error"),
    [("16x8", np.int16, 0.006), ("dynamic", np.float32, 0.02), ("float16", np.float32, 0.002)],
)
def test_other_number_formats_have_the_inputs_and_outputs_of_their_activations(
    tmp_path: Path, numbers: Any, dtype: Any, error: float
) -> None:
    inputs = layers.Input((8, 8, 8))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, use_bias=False)(inputs)))
    model = keras.Model(inputs, layers.Dense(80)(layers.GlobalAveragePooling2D()(x)))
    samples = (tiny_models.samples((8, 8, 8)),)
    interpreter = _interpreter(model, samples, tmp_path / "model.tflite", numbers=numbers)
    assert _dtypes(interpreter) == [dtype, dtype]
    weights = "float16" if numbers == "float16" else "int8"
    assert {str(tensor.codes.dtype) for tensor in read_weights(tmp_path / "model.tflite")} == {weights}
    wanted = predict(model, samples)[0]
    np.testing.assert_allclose(interpreter.run(samples)[0], wanted, atol=error * np.abs(wanted).max())


def test_a_float16_file_allows_cores_to_compute_in_float16(tmp_path: Path) -> None:
    model, x = tiny_models.conv2d(), (tiny_models.samples((8, 8, 3)),)
    export_tflite(model, Split(x), tmp_path / "float16", numbers="float16")
    export_tflite(model, Split(x), tmp_path / "dynamic", numbers="dynamic")
    found = [b"reduced_precision_support" in (tmp_path / name).read_bytes() for name in ("float16", "dynamic")]
    assert found == [True, False]


def test_inputs_of_a_16x8_file_are_float_where_that_is_asked_for(tmp_path: Path) -> None:
    model, x = tiny_models.conv2d(), (tiny_models.samples((8, 8, 3)),)
    interpreter = _interpreter(model, x, tmp_path / "model.tflite", float_io=True, numbers="16x8")
    assert _dtypes(interpreter) == [np.float32, np.float32]


def test_kernels_that_dynamic_range_leaves_float_are_counted(tmp_path: Path) -> None:
    model, x = tiny_models.dense(), (tiny_models.samples((12,)),)
    notes = export_tflite(model, Split(x), tmp_path / "model.tflite", numbers="dynamic").notes
    assert len(notes) == 1 and notes[0].startswith("2 of 2 weight tensors stay float32")


@pytest.mark.parametrize("leaf", ["16x8", "dynamic", "float16"])
def test_zeros_and_clusters_are_proved_in_every_number_format(tmp_path: Path, leaf: str) -> None:
    source = tiny_models.conv2d()
    context = tiny_models.context_for(source, sparsity=0.6, clusters=6)
    piece = Workpiece(source, Constraints())
    for stage in ("prune", "cluster", leaf):
        piece = STAGES[stage].apply(piece, context)
    numbers = FACTS[leaf].numbers
    assert numbers is not None
    path = tmp_path / "model.tflite"
    export_tflite(piece.model, context.data.train, path, numbers=numbers)
    found = audit(path, promises_of(piece.model, piece.constraints))
    assert found.unproven == ()
    for layer in found.layers:
        assert layer.zeros_promised == round(0.6 * int(np.prod(layer.shape))) and layer.codes_promised == 6
        assert layer.codes_scope == ("tensor" if leaf == "16x8" else "channel")
    assert (len(piece.notes) == 1 and "in each channel" in piece.notes[0]) == (leaf == "float16")


def test_several_inputs_and_outputs_keep_the_models_order(tmp_path: Path) -> None:
    zeta, mid, alpha = (layers.Input((4,), name=name) for name in ("zeta", "mid/dle:x", "alpha"))
    outputs = [layers.Add(name="z_sum")([zeta, mid]), layers.Subtract(name="a_gap")([alpha, zeta])]
    model = keras.Model([zeta, mid, alpha], outputs)
    x = tuple(tiny_models.samples((4,), seed=seed) * scale for seed, scale in ((1, 1.0), (2, 5.0), (3, 25.0)))
    interpreter = _interpreter(model, x, tmp_path / "model.tflite")
    total, gap = interpreter.run(x)
    np.testing.assert_allclose(total, x[0] + x[1], atol=0.4)
    np.testing.assert_allclose(gap, x[2] - x[0], atol=2.0)


def test_twelve_inputs_are_not_sorted_as_words(tmp_path: Path) -> None:
    inputs = [layers.Input((1,), name=f"in{number}") for number in range(12)]
    model = keras.Model(inputs, layers.Concatenate()(inputs))
    x = tuple(np.tile(np.array([[-12.0], [12.0], [float(number)]], np.float32), (2, 1)) for number in range(12))
    (joined,) = _interpreter(model, x, tmp_path / "model.tflite").run(x)
    np.testing.assert_allclose(joined[2], np.arange(12), atol=0.1)


def test_integer_inputs_keep_their_type_and_it_is_said(tmp_path: Path) -> None:
    inputs = layers.Input((6,), dtype="int32", name="words")
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Embedding(20, 4)(inputs))))
    x = (np.random.default_rng(1).integers(0, 20, (32, 6)).astype(np.int32),)
    exported = export_tflite(model, Split(x), tmp_path / "model.tflite")
    assert any("words are integers" in note for note in exported.notes)
    interpreter = HostInterpreter(tmp_path / "model.tflite")
    assert _dtypes(interpreter) == [np.int32, np.float32]
    np.testing.assert_allclose(interpreter.run(x)[0], predict(model, x)[0], atol=0.01)


def test_a_fixed_batch_stays_and_samples_are_filled_up(tmp_path: Path) -> None:
    model = keras.Sequential([layers.Input(batch_shape=(4, 12)), layers.Dense(3)])
    # Two whole batches calibrate; what comes after them lies within their ranges.
    x = (np.resize(tiny_models.samples((12,), 8), (10, 12)),)
    interpreter = _interpreter(model, x, tmp_path / "model.tflite")
    done: list[int] = []
    (guess,) = interpreter.run(x, done.append)
    assert interpreter.batch == 4 and guess.shape == (10, 3) and done == [4, 8, 10]
    np.testing.assert_allclose(guess, predict(model, x)[0], atol=0.1)


def test_what_can_not_be_quantized_stays_float_and_is_noted(tmp_path: Path) -> None:
    model = keras.Sequential([layers.Input((4, 6, 6, 2)), layers.Conv3D(3, 2), layers.Flatten(), layers.Dense(2)])
    x = (tiny_models.samples((4, 6, 6, 2), 8),)
    exported = export_tflite(model, Split(x), tmp_path / "model.tflite")
    assert exported.notes == ("some operators stay float: CONV_3D",)
    wanted = predict(model, x)[0]
    np.testing.assert_allclose(
        HostInterpreter(tmp_path / "model.tflite").run(x)[0], wanted, atol=0.1 * np.abs(wanted).max()
    )


def test_exporting_twice_gives_the_same_bytes_and_leaves_the_model_alone(tmp_path: Path) -> None:
    model, x = tiny_models.dense(), (tiny_models.samples((12,)),)
    before = [weight.copy() for weight in model.get_weights()]
    for name in ("a", "b"):
        export_tflite(model, Split(x), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_converter_that_dies_at_work_is_one_line_and_the_next_export_works(tmp_path: Path) -> None:
    model, x = tiny_models.dense(), Split((tiny_models.samples((12,)),))
    child = export_module._converter()._alive()
    os.kill(child.pid, signal.SIGSTOP)
    threading.Timer(0.5, child.kill).start()
    with pytest.raises(ConversionError, match=r"the converter's process was stopped by signal 9") as caught:
        export_tflite(model, x, tmp_path / "model.tflite")
    assert "\n" not in str(caught.value) and not (tmp_path / "model.tflite").exists()
    export_tflite(model, x, tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").stat().st_size > 0


def test_a_converter_that_died_while_idle_is_replaced(tmp_path: Path) -> None:
    child = export_module._converter()._alive()
    child.kill()
    child.wait()
    export_tflite(tiny_models.dense(), Split((tiny_models.samples((12,)),)), tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").stat().st_size > 0


def test_a_converter_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = tiny_models.dense(), Split((tiny_models.samples((12,)),))
    child = export_module._converter()._alive()
    os.kill(child.pid, signal.SIGSTOP)
    monkeypatch.setattr(export_module, "_TIMEOUT_S", 0.3)
    with pytest.raises(ConversionError, match=r"was stopped by signal 9"):
        export_tflite(model, x, tmp_path / "model.tflite")


def test_a_loop_that_kills_the_converter_is_told_in_one_line_and_the_next_export_works(tmp_path: Path) -> None:
    inputs = layers.Input((3, 6, 6, 2))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.ConvLSTM2D(2, 3)(inputs))))
    x = Split((tiny_models.samples((3, 6, 6, 2), 16),))
    with pytest.raises(ConversionError, match="the converter") as caught:
        export_tflite(model, x, tmp_path / "model.tflite")
    assert "\n" not in str(caught.value)
    export_tflite(tiny_models.dense(), Split((tiny_models.samples((12,)),)), tmp_path / "other.tflite")


def test_a_folder_that_is_not_there_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file") as caught:
        export_tflite(tiny_models.dense(), Split((tiny_models.samples((12,)),)), tmp_path / "absent" / "model.tflite")
    assert "\n" not in str(caught.value)

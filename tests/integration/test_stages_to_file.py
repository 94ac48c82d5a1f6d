"""From a trained Keras model down the stages to a .tflite, as a notebook does it; what the audit says of sabotage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import armopt
import tiny_models
from armopt.compress.backend import keras
from armopt.compress.constraints import is_kept
from armopt.compress.data import Split
from armopt.compress.kernel_projections import LevelsProjection, ZerosProjection
from armopt.compress.kernels import kernels_of
from armopt.compress.models import copy_model
from armopt.compress.projection import constraints_of
from armopt.compress.quality import score_keras, score_tflite
from armopt.compress.task import find_task
from armopt.core.errors import DataError, StructureLost
from armopt.core.records import Audit

# Few steps, but large ones: every weight that is free moves.
QUICK = {"epochs": 1, "min_steps": 24, "batch_size": 32, "learning_rate": 3e-3}
# One with batch normalization, one with a kernel that the converter splits, one with layers twice in the graph.
MODELS = ("Conv2D", "SeparableConv2D", "shared")


def _data(model: Any) -> tuple[Any, Any]:
    x = tiny_models.samples(tuple(model.inputs[0].shape[1:]), 256)
    flat = x.reshape(len(x), -1)
    return x, np.stack([part.mean(1) for part in np.array_split(flat, 3, axis=1)], 1).argmax(1).astype(np.int64)


def _trained(name: str) -> tuple[Any, tuple[Any, Any]]:
    keras.utils.set_random_seed(7)
    model = tiny_models.BUILDERS[name]()
    data = _data(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    model.fit(*data, batch_size=32, epochs=4, verbose=0)
    return model, data


def _kept(model: Any) -> bool:
    promised = constraints_of(model)
    kernels = {kernel.key: kernel.variable.numpy() for kernel in kernels_of(model)}
    return len(promised) > 0 and all(is_kept(kernels[key], constraint) for key, constraint in promised.items())


@pytest.mark.parametrize("name", MODELS)
def test_all_four_promises_hold_in_the_file_that_they_end_in(name: str, tmp_path: Path) -> None:
    model, data = _trained(name)
    before = [weight.copy() for weight in model.get_weights()]
    pruned = armopt.prune(model, data, sparsity=0.6, **QUICK)
    clustered = armopt.cluster(pruned, data, clusters=8, **QUICK)
    quantized = armopt.quantize(clustered, data, **QUICK)
    assert all(_kept(made) for made in (pruned, clustered, quantized))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert len(constraints_of(model)) == 0

    plain = armopt.export(model, data, tmp_path / "plain.tflite")
    found: dict[str, Audit] = {}
    for step, made in (("prune", pruned), ("cluster", clustered), ("pcqat", quantized)):
        found[step] = armopt.export(made, data, tmp_path / f"{step}.tflite")
        assert found[step].unproven == ()
        assert {layer.constraint for layer in found[step].layers} - {None} == set(constraints_of(made))
    for layer in found["pcqat"].layers:
        if layer.constraint is not None:
            assert layer.zeros_promised == round(0.6 * int(np.prod(layer.shape)))
            assert layer.codes <= 8 and layer.codes_scope == "tensor"
    assert found["pcqat"].sparsity > plain.sparsity + 0.3
    assert found["pcqat"].gz_bytes < plain.gz_bytes

    task, ready = find_task(model, tiny_models.data_of(*data))
    in_keras = score_keras(quantized, ready.test, task)
    assert score_tflite(tmp_path / "pcqat.tflite", ready.test, task) == pytest.approx(in_keras, abs=0.05)


@pytest.mark.parametrize(("first", "words"), [("prune", "pruned weights of .* are not zero"), ("cluster", "clustered")])
@pytest.mark.parametrize("name", ["Dense", "Conv2D"])
def test_without_the_projection_the_audit_fails_the_file(
    name: str, first: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = _trained(name)
    made = getattr(armopt, first)(model, data, **QUICK)
    for projection in (ZerosProjection, LevelsProjection):
        monkeypatch.setattr(projection, "apply", lambda self: None)
    sabotaged = armopt.quantize(made, data, **{**QUICK, "learning_rate": 2e-2})
    assert not _kept(sabotaged)
    with pytest.raises(StructureLost, match=words):
        armopt.export(sabotaged, data, tmp_path / "model.tflite")


def test_with_the_projection_the_same_training_passes(tmp_path: Path) -> None:
    model, data = _trained("Conv2D")
    made = armopt.prune(model, data, **QUICK)
    trained = armopt.quantize(made, data, **{**QUICK, "learning_rate": 2e-2})
    assert armopt.export(trained, data, tmp_path / "model.tflite").sparsity > 0.49


def test_promises_travel_into_a_users_own_fit(tmp_path: Path) -> None:
    model, data = _trained("Dense")
    pruned = armopt.prune(model, data, **QUICK)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile(keras.optimizers.Adam(1e-2), loss)
    pruned.fit(*data, epochs=2, verbose=0, callbacks=[armopt.ConstraintsCallback()])
    assert _kept(pruned)
    armopt.export(pruned, data, tmp_path / "kept.tflite")
    pruned.fit(*data, epochs=2, verbose=0)
    assert not _kept(pruned)
    with pytest.raises(StructureLost):
        armopt.export(pruned, data, tmp_path / "lost.tflite")


def test_quantization_aware_training_alone_wins_back_accuracy(tmp_path: Path) -> None:
    model, data = _trained("Conv2D")
    # Channels of very different size are what post-training quantization of activations suffers from.
    trained = armopt.quantize(model, data, **QUICK)
    task, ready = find_task(model, tiny_models.data_of(*data))
    armopt.export(trained, data, tmp_path / "qat.tflite")
    assert score_tflite(tmp_path / "qat.tflite", ready.test, task) >= score_keras(model, ready.test, task) - 0.05


@pytest.mark.parametrize(
    "data", [None, 7, "no-such-data", np.zeros((4, 3)), (np.zeros((8, 12), np.float32), np.zeros(7, int))]
)
def test_a_notebook_with_bad_data_gets_one_line(data: Any) -> None:
    with pytest.raises(DataError) as caught:
        armopt.prune(tiny_models.dense(), data)
    assert "\n" not in str(caught.value)


def test_a_keras_3_model_goes_the_same_way(tmp_path: Path) -> None:
    import keras as keras3

    inputs = keras3.layers.Input((8, 8, 3))
    x = keras3.layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    x = keras3.layers.BatchNormalization()(x)
    model = keras3.Model(inputs, keras3.layers.Dense(3, name="out")(keras3.layers.GlobalAveragePooling2D()(x)))
    data = _data(model)
    pruned = armopt.prune(model, data, **QUICK)
    found = armopt.export(pruned, data, tmp_path / "model.tflite")
    assert found.unproven == () and {layer.constraint for layer in found.layers} == {"conv/kernel", "out/kernel"}


def test_the_host_runs_what_was_exported_as_keras_does(tmp_path: Path) -> None:
    model, data = _trained("Conv1D")
    armopt.export(copy_model(model), data, tmp_path / "model.tflite", float_io=True)
    task, ready = find_task(model, tiny_models.data_of(*data))
    few = Split((ready.test.x[0][:64],), (ready.test.y[0][:64],))
    assert score_tflite(tmp_path / "model.tflite", few, task) == pytest.approx(score_keras(model, few, task), abs=0.05)

"""Models that nobody tuned armopt on: each ends in audited leaves on the emulated board."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import armopt
from armopt.compress.backend import keras
from armopt.core.profile import Profile
from armopt.core.records import Result

pytestmark = pytest.mark.timeout(300)

PROFILE = Profile(
    name="short",
    tree=("ptq", "qat", "prune", "prune/cluster", "prune/cluster/pcqat"),
    common={"epochs": 1, "min_steps": 20},
)
KERAS3_LAYER = """
import keras

class Scaled(keras.layers.Layer):
    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w")

    def call(self, x):
        return keras.ops.relu(keras.ops.matmul(x, self.w))

    def get_config(self):
        return {**super().get_config(), "units": self.units}
"""


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store that shares the emulator's files with the user's cache."""
    from armopt.catalog.search_path import cache_dir

    shared, own = cache_dir(), tmp_path / "cache"
    own.mkdir()
    for item in shared.iterdir() if shared.is_dir() else ():
        if item.name != "store":
            (own / item.name).symlink_to(item)
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(own))
    monkeypatch.chdir(tmp_path)


def _samples(shape: tuple[int, ...], count: int = 240) -> Any:
    return np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)


def _save(name: str, x: Any, y: Any = None) -> str:
    inputs = x if isinstance(x, tuple) else (x,)
    cut = len(inputs[0]) * 3 // 4
    arrays = {}
    for part, rows in (("train", slice(0, cut)), ("test", slice(cut, None))):
        for number, array in enumerate(inputs):
            arrays[f"x_{part}_{number}" if len(inputs) > 1 else f"x_{part}"] = array[rows]
        if y is not None:
            arrays[f"y_{part}"] = y[rows]
    np.savez(name, **arrays)
    return name


def _deploy(model: str, data: str, **options: Any) -> Result:
    return armopt.deploy(model, data, device="pi4", profile=PROFILE, until="best", **options)


def _check(result: Result) -> None:
    schema = Path(__file__).parents[2] / "docs/schema/result.schema.json"
    jsonschema.validate(json.loads(result.model_dump_json(by_alias=True)), json.loads(schema.read_text()))
    nodes = {node.path: node for node in result.nodes}
    for path in ("ptq", "qat", "prune/cluster/pcqat"):
        node = nodes[path]
        assert node.status == "built", f"{path}: {node.reason}"
        assert node.accuracy.int8 is not None
        assert node.latency_ms is not None and node.latency_ms.p50 > 0
        assert "not proved" not in node.reason
    sparse = nodes["prune/cluster/pcqat"]
    assert sparse.sparsity is not None and nodes["ptq"].sparsity is not None
    assert sparse.sparsity > nodes["ptq"].sparsity + 0.1
    assert sparse.gz_bytes is not None and nodes["ptq"].gz_bytes is not None


def test_a_keras_3_functional_model_with_a_custom_layer(tmp_path: Path) -> None:
    import keras as keras3

    (tmp_path / "scaled_layer.py").write_text(KERAS3_LAYER)
    sys.path.insert(0, str(tmp_path))
    try:
        import scaled_layer  # type: ignore[import-not-found]

        inputs = keras3.Input((12, 12, 3))
        x = keras3.layers.Conv2D(8, 3, activation="relu")(inputs)
        x = keras3.layers.BatchNormalization()(x)
        x = keras3.layers.SeparableConv2D(8, 3, padding="same")(x) + x
        x = keras3.layers.LeakyReLU(negative_slope=0.1)(x)
        x = keras3.layers.GlobalAveragePooling2D()(x)
        outputs = keras3.layers.Dense(4, activation="softmax")(scaled_layer.Scaled(16)(x))
        model = keras3.Model(inputs, outputs)
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        model.save("model.keras")
        samples = _samples((12, 12, 3))
        labels = samples.mean((1, 2)).argmax(1)
        _check(_deploy("model.keras", _save("data.npz", samples, labels), custom_objects="scaled_layer"))
    finally:
        sys.path.remove(str(tmp_path))


def test_a_saved_model_folder() -> None:
    model = keras.Sequential(
        [keras.layers.Input((16,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(3)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    x = _samples((16,))
    model.fit(x, x[:, :3].argmax(1), verbose=0)
    model.save("folder", save_format="tf")
    _check(_deploy("folder", _save("data.npz", x, x[:, :3].argmax(1))))


def test_a_regression_is_judged_by_its_own_error() -> None:
    model = keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse", ["mae"])
    x = _samples((16,))
    model.fit(x, x[:, 0], epochs=3, verbose=0)
    model.save("model.keras")
    result = _deploy("model.keras", _save("data.npz", x, x[:, 0]))
    _check(result)
    assert (result.metric.name, result.metric.higher_is_better) == ("mae", False)


def test_two_inputs_keep_their_order_whatever_their_names() -> None:
    layers = keras.layers
    last, first = layers.Input((8,), name="zeta"), layers.Input((10, 10, 1), name="alpha")
    flat = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(first))
    joined = layers.Concatenate()([flat, layers.Dense(8, activation="relu")(last)])
    model = keras.Model([last, first], layers.Dense(3)(joined))
    x = (_samples((8,)), _samples((10, 10, 1)))
    y = (x[0][:, :3] + x[1][:, 2:5, 3, 0]).argmax(1)
    model.compile(
        keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]
    )
    model.fit(list(x), y, epochs=20, verbose=0)
    model.save("model.h5")
    result = _deploy("model.h5", _save("data.npz", x, y))
    _check(result)
    node = {node.path: node for node in result.nodes}["ptq"]
    # Swapped inputs could not be run at all; inputs scaled by each other's ranges would not agree with the float model.
    assert node.accuracy.int8 == pytest.approx(node.accuracy.keras, abs=0.05)
    assert result.source_accuracy is not None and result.source_accuracy > 0.5


def test_an_lstm_with_a_fixed_batch() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input(batch_shape=(1, 10, 6)), layers.LSTM(16), layers.Dense(3, activation="softmax")]
    )
    model.save("model.keras")
    x = _samples((10, 6), 80)
    result = _deploy("model.keras", _save("data.npz", x, x.sum(1)[:, :3].argmax(1)))
    _check(result)
    assert any("lstm" in node.reason for node in result.nodes if node.path == "qat")


def test_an_autoencoder_needs_no_labels() -> None:
    model = keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(16)])
    model.save("model.keras")
    result = _deploy("model.keras", _save("data.npz", _samples((16,))))
    _check(result)
    assert not result.metric.higher_is_better
    assert any("reconstructing" in note for note in result.notes)

"""Which kernels really run, on the real emulator: those that skip zeros, and those of half precision."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import sparse_models
from armopt.catalog.devices import find_device
from armopt.compress.backend import keras, tf
from armopt.compress.interpreter import HostInterpreter
from armopt.core.gate import Observed, judge
from armopt.core.records import Measurement, Metric
from armopt.core.target import Target
from armopt.measuring import measure

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]


def _on(board: str, path: Path) -> Measurement:
    return measure(path, find_device(board))[0]


@pytest.mark.parametrize("name", sparse_models.CASES)
def test_sparse_kernels_run_exactly_where_the_file_says_so(tmp_path: Path, name: str) -> None:
    path, obstacle = sparse_models.case(name, tmp_path)
    found = _on("pi4", path)
    assert (found.sparse_instructions == 0) == (obstacle is not None)
    assert (found.interval_ms is None) == (obstacle is None)


def test_a_sparse_file_takes_fewer_instructions_than_a_dense_one_and_agrees_with_the_host(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = sparse_models.pruned(sparse_models.mobile(), 0.8)
    sparse = sparse_models.exported(model, tmp_path / "sparse.tflite")
    dense = sparse_models.exported(model, tmp_path / "dense.tflite", "float32")
    x = sparse_models.pictures((32, 32, 3))
    found, outputs = measure(sparse, find_device("pi4"), samples=[x[:, None]])
    [on_host] = HostInterpreter(sparse).run((x,))
    np.testing.assert_allclose(outputs[0][:, 0], on_host, rtol=1e-4, atol=1e-5 * np.abs(on_host).max())
    assert found.instructions is not None and found.instructions < (_on("pi4", dense).instructions or 0)
    seen = Observed(latency_ms=found.latency_ms, interval_ms=found.interval_ms, evidence=found.evidence)
    assert judge(Target(max_latency_ms=1000.0), seen, Metric(name="accuracy")).verdict == "inconclusive"


def test_a_float16_file_is_computed_in_half_precision_where_cores_can_and_only_if_it_says_that_it_may(
    tmp_path: Path,
) -> None:
    keras.utils.set_random_seed(3)
    model = sparse_models.mobile()
    allowed = sparse_models.exported(model, tmp_path / "allowed.tflite", "float16")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    stored = tmp_path / "stored.tflite"
    stored.write_bytes(converter.convert())
    half, wide, old = _on("pi5", allowed), _on("pi5", stored), _on("pi4", allowed)
    assert "in half precision" in (half.interval_source or "") and half.interval_ms is None
    assert wide.interval_ms is not None and old.interval_ms is not None
    assert (half.instructions or 0) < 0.9 * (wide.instructions or 0)

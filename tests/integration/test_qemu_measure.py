"""Real models on the real emulator. The emulated system is built on first use, into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from armopt.catalog.devices import find_device
from armopt.core.counts import Counts
from armopt.core.errors import ModelError, UsageError
from armopt.measuring import measure
from armopt.runners.base import Job, make_runner
from armopt.runners.local import LocalRunner
from armopt.runners.qemu.sysroot import ensure_board_root
from armopt.runners.samples import random_inputs

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]

# In a process of its own: the converter must not share this one with other tests' TensorFlow.
CONVERT = """
import sys
from pathlib import Path
import numpy as np, tensorflow as tf, tf_keras as keras
folder = Path(sys.argv[1])
keras.utils.set_random_seed(1)
image, scale = keras.Input((16, 16, 3)), keras.Input((4,))
x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(image)
x = keras.layers.DepthwiseConv2D(3, activation="relu")(x)
x = keras.layers.Conv2D(32, 1, activation="relu")(x)
x = keras.layers.GlobalAveragePooling2D()(x)
one = keras.Model(image, keras.layers.Dense(10, activation="softmax")(x))
two = keras.Model([image, scale], keras.layers.Dense(10)(keras.layers.Concatenate()([x, scale])))
(folder / "float.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(one).convert())
(folder / "two_inputs.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(two).convert())
converter = tf.lite.TFLiteConverter.from_keras_model(one)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
random = np.random.default_rng(1)
converter.representative_dataset = lambda: ([random.random((1, 16, 16, 3), np.float32)] for _ in range(8))
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
(folder / "int8.tflite").write_bytes(converter.convert())
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    env = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", CONVERT, str(folder)], env=env, check=True, capture_output=True)
    return folder


def test_an_int8_model_gets_a_modelled_latency_with_an_interval(models: Path) -> None:
    measurement, outputs = measure(models / "int8.tflite", find_device("pi4"))
    assert measurement.evidence == "modelled" and measurement.runner == "qemu"
    assert measurement.latency_ms is not None and measurement.latency_ms.p90 is None
    assert measurement.interval_ms is not None
    assert measurement.interval_ms[0] < measurement.latency_ms.p50 < measurement.interval_ms[1]
    assert measurement.interval_source and measurement.raw_ms == ()
    assert measurement.instructions == sum((measurement.instruction_classes or {}).values())
    assert outputs[0].dtype == np.int8 and len(outputs[0]) == measurement.outputs_compared


def test_counts_repeat_within_a_thousandth(models: Path) -> None:
    first, second = (measure(models / "int8.tflite", find_device("pi4"))[0].instructions for _ in range(2))
    assert first and second
    assert abs(first - second) <= 0.001 * first


def test_each_core_runs_its_own_kernels(models: Path) -> None:
    classes = {
        name: measure(models / "int8.tflite", find_device(name))[0].instruction_classes or {}
        for name in ("pi3", "pi4", "pi5")
    }
    assert classes["pi5"]["dot"] > 0
    assert "dot" not in classes["pi4"] and classes["pi4"]["int_mac_long"] > 0
    totals = {name: sum(found.values()) for name, found in classes.items()}
    assert len(set(totals.values())) == 3
    assert totals["pi5"] < totals["pi4"]


def test_int8_outputs_equal_the_hosts_or_the_difference_is_told(models: Path) -> None:
    samples = np.random.default_rng(2).integers(-128, 128, (64, 16, 16, 3)).astype(np.int8)
    measurement, _ = measure(models / "int8.tflite", find_device("pi5"), samples=[samples])
    assert measurement.outputs_compared == 64
    assert measurement.outputs_equal or "steps of" in (measurement.output_difference or "")


def test_outputs_are_compared_with_the_expected_ones_that_are_given(models: Path) -> None:
    samples = [np.zeros((3, 16, 16, 3), np.int8)]
    wrong = [np.full((3, 1, 10), 99, np.int8)]
    measurement, _ = measure(models / "int8.tflite", find_device("pi4"), samples=samples, expected=wrong)
    assert measurement.outputs_equal is False
    assert "differ, by at most" in (measurement.output_difference or "")


@pytest.mark.parametrize("name", ["float.tflite", "two_inputs.tflite"])
def test_float_and_many_inputs_are_measured_too(models: Path, name: str) -> None:
    measurement, outputs = measure(models / name, find_device("pi4"))
    assert measurement.instructions and measurement.instruction_classes
    assert measurement.instruction_classes["fp_mac"] > 0
    assert outputs[0].dtype == np.float32
    assert measurement.outputs_equal or "float sums" in (measurement.output_difference or "")


@pytest.mark.parametrize("damage", ["cut", "header", "noise", "empty"])
def test_a_corrupt_model_is_one_clear_error(models: Path, tmp_path: Path, damage: str) -> None:
    whole = (models / "int8.tflite").read_bytes()
    noise = bytearray(whole)
    noise[40 : len(noise) // 2] = np.random.default_rng(3).bytes(len(noise) // 2 - 40)
    content = {"cut": whole[: len(whole) // 2], "header": b"x" * 100, "noise": bytes(noise), "empty": b""}[damage]
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        measure(path, find_device("pi4"))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="can't be read"):
        measure(tmp_path / "none.tflite", find_device("pi4"))


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([np.zeros((2, 16, 16, 3), np.float32)], "input 0 is int8, the samples are float32"),
        ([np.zeros((2, 8, 8, 3), np.int8)], r"input 0 has shape \[1, 16, 16, 3\], a sample \[8, 8, 3\]"),
        ([np.zeros((2, 16, 16, 3), np.int8)] * 2, "the model has 1 inputs, the samples 2 arrays"),
        ([np.zeros((0, 16, 16, 3), np.int8)], "no samples were given"),
    ],
)
def test_samples_that_do_not_fit_are_told_so(models: Path, samples: list[np.ndarray], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        measure(models / "int8.tflite", find_device("pi4"), samples=samples)


def test_four_threads_are_modelled_from_one_threads_counts(models: Path) -> None:
    one, four = (measure(models / "int8.tflite", find_device("pi4"), threads=threads)[0] for threads in (1, 4))
    assert one.instructions == pytest.approx(four.instructions, rel=0.001)
    assert one.latency_ms and four.latency_ms and one.interval_ms and four.interval_ms
    # So small a network is not faster with four: sharing its operators costs more than they take.
    assert four.latency_ms.p50 != one.latency_ms.p50
    assert four.interval_ms[1] / four.latency_ms.p50 > one.interval_ms[1] / one.latency_ms.p50


def test_the_board_sees_its_own_cpus_and_not_the_hosts() -> None:
    board = find_device("pi4")
    root = ensure_board_root(board, say=lambda text: None, offline=False)
    assert "0xd08" in (root / "proc/cpuinfo").read_text()
    assert (root / "sys/devices/system/cpu/present").read_text() == "0-3\n"


def test_the_operators_add_up_to_the_whole_and_name_their_kernels(models: Path) -> None:
    counts = {delegate: _counts(models / "int8.tflite", delegate) for delegate in (True, False)}
    for of_kernels in counts.values():
        assert of_kernels.segment_instructions.sum() == of_kernels.instructions
        # What runs ahead of the first operator and after the last is the caller's.
        assert of_kernels.segment_instructions[0] < 0.2 * of_kernels.instructions
    ran = [_busiest(counts[True], index) for index, start in enumerate(counts[True].starts) if start == "xnnpack"]
    assert "igemm" in ran[0] and "dwconv" in ran[1] and "gemm" in ran[2]
    # The first is the interpreter's own preparation.
    _, *ran = [_busiest(counts[False], index) for index, start in enumerate(counts[False].starts) if start == "runtime"]
    assert "ruy" in ran[0] and "Depthwise" in ran[1] and not any("xnn" in name for name in ran)


def test_counts_repeat_and_do_not_depend_on_what_else_is_counted(models: Path) -> None:
    alone = _counts(models / "int8.tflite", True)
    with closing(make_runner("qemu", find_device("pi4"), say=print)) as runner:
        jobs = [_job(models / name, True) for name in ("float.tflite", "int8.tflite", "int8.tflite")]
        _, first, second = (result.counts for result in runner.run(jobs))
    assert first is not None and second is not None
    for other in (first, second):
        assert other.starts == alone.starts
        # Ahead of the first operator and after the last runs Python, whose few hundred instructions vary.
        assert other.segment_instructions[1:-1] == pytest.approx(alone.segment_instructions[1:-1], rel=1e-3)
        assert other.instructions == pytest.approx(alone.instructions, abs=2000)


def _job(model: Path, delegate: bool) -> Job:
    with closing(LocalRunner(print)) as host:
        return Job(model, random_inputs(host.describe(model), count=1), count=True, delegate=delegate)


def _counts(model: Path, delegate: bool) -> Counts:
    with closing(make_runner("qemu", find_device("pi4"), say=print)) as runner:
        [result] = runner.run([_job(model, delegate)])
    assert result.counts is not None
    return result.counts


def _busiest(counts: Counts, segment: int) -> str:
    lengths = np.array([len(block) for block in counts.blocks])
    per_function: dict[str, int] = {}
    for function, executed in zip(counts.functions, counts.executions[segment] * lengths, strict=True):
        per_function[function] = per_function.get(function, 0) + int(executed)
    return max(per_function, key=lambda name: per_function[name])


def test_another_runtime_brings_its_own_kernels(models: Path) -> None:
    older = find_device("pi4").running("tflite-runtime")
    with closing(make_runner("qemu", older, say=print)) as runner:
        [result] = runner.run([_job(models / "float.tflite", True)])
    assert result.environment["runtime"] == "tflite-runtime 2.14.0"
    assert result.counts is not None and "xnnpack" in result.counts.starts
    assert result.counts.instructions != _counts(models / "float.tflite", True).instructions

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import tiny_models
from armopt.compress.audit import Promise, audit
from armopt.compress.backend import keras, tf
from armopt.compress.constraints import Constraints, KernelConstraint
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.compress.kernels import kernels_of
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.promises import promises_of
from armopt.compress.stages.cluster import clustered
from armopt.compress.stages.patterns import smallest_masked
from armopt.compress.tflite_file import read_weights
from armopt.core.errors import StructureLost, UsageError
from armopt.core.profile import StageSettings

layers = keras.layers
CLUSTERS = 16


def _constrained(model: Any, clustering: str = "tensor") -> dict[str, Promise]:
    """Half of each kernel zero, the rest in clusters: written into the model, without any training."""
    constraints = Constraints()
    settings = StageSettings.model_validate({"clusters": CLUSTERS, "clustering": clustering})
    for kernel in kernels_of(model):
        zeros = KernelConstraint(keep=smallest_masked(kernel.variable.numpy(), 0.5))
        constraints = constraints.with_kernel(kernel.key, clustered(kernel, zeros, settings))
    ConstraintsCallback(constraints).project_onto(model)
    return promises_of(model, constraints)


def _export(model: Any, path: Path) -> None:
    x = tuple(tiny_models.samples(tuple(t.shape[1:]), 16) for t in model.inputs)
    export_tflite(model, Split(x), path)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Promise]]:
    """A convolutional network and what was promised about it."""
    keras.utils.set_random_seed(5)
    model = tiny_models.conv2d()
    promises = _constrained(model)
    path = tmp_path_factory.mktemp("known") / "model.tflite"
    _export(model, path)
    return path, promises


def _offset_of(path: Path, tensor: Any) -> int:
    content, stored = path.read_bytes(), tensor.codes.tobytes()
    assert content.count(stored) == 1
    return content.index(stored)


def _tensor(path: Path, shape: tuple[int, ...]) -> Any:
    (found,) = [tensor for tensor in read_weights(path) if tensor.codes.shape == shape]
    return found


def _with_code(path: Path, target: Path, tensor: Any, position: int, code: int) -> Path:
    content = bytearray(path.read_bytes())
    content[_offset_of(path, tensor) + position] = code % 256
    target.write_bytes(content)
    return target


def test_a_file_tells_its_sizes_zeros_and_codes(known: Any) -> None:
    path, promises = known
    content = path.read_bytes()
    found = audit(path, promises)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.size_bytes == len(content)
    assert found.gz_bytes == len(gzip.compress(content, 9, mtime=0)) < len(content)
    assert found.unproven == () and {layer.constraint for layer in found.layers} == set(promises)
    weights = {tensor.name[:200]: tensor for tensor in read_weights(path)}
    for layer in found.layers:
        codes = weights[layer.name].codes
        assert (layer.dtype, layer.shape) == ("int8", codes.shape)
        assert layer.sparsity == pytest.approx(np.mean(codes == 0)) and layer.sparsity >= 0.5
        assert layer.codes == len(np.unique(codes))
        channels = codes.reshape(codes.shape[0], -1)
        assert layer.codes_per_channel == max(len(np.unique(channel)) for channel in channels) <= CLUSTERS
        assert layer.zeros_promised == codes.size // 2
        assert layer.zeros_added == (codes == 0).sum() - codes.size // 2
        assert (layer.codes_promised, layer.codes_scope) == (CLUSTERS, "channel")
    total = sum(tensor.codes.size for tensor in weights.values())
    zeros = sum((tensor.codes == 0).sum() for tensor in weights.values())
    assert found.sparsity == pytest.approx(zeros / total)
    assert found.max_codes == max(layer.codes for layer in found.layers)


def test_a_foreign_file_is_read_without_promises(known: Any) -> None:
    found = audit(known[0])
    assert len(found.layers) == 3 and found.unproven == ()
    assert all(layer.constraint is layer.zeros_promised is layer.codes_promised is None for layer in found.layers)


def test_one_nonzero_over_a_pruned_weight_fails_the_audit(known: Any, tmp_path: Path) -> None:
    path, promises = known
    tensor = _tensor(path, (8, 3, 3, 8))
    keep = promises["second/kernel"].constraint.keep.transpose(3, 0, 1, 2).ravel()
    broken = _with_code(path, tmp_path / "broken.tflite", tensor, int(np.flatnonzero(~keep)[7]), 1)
    with pytest.raises(StructureLost, match=r"1 of 288 pruned weights of 'second/kernel' are not zero"):
        audit(broken, promises)


def test_a_code_beside_its_cluster_fails_the_audit(known: Any, tmp_path: Path) -> None:
    path, promises = known
    tensor = _tensor(path, (8, 3, 3, 8))
    clusters = promises["second/kernel"].constraint.codes.transpose(3, 0, 1, 2).reshape(8, -1)
    # A cluster with at least two members in the first channel, so that one of them can leave the other.
    label = next(code for code in range(1, CLUSTERS) if (clusters[0] == code).sum() >= 2)
    position = int(np.flatnonzero(clusters[0] == label)[0])
    new = int(max(set(range(1, 128)) - set(tensor.codes[0].ravel().tolist())))
    broken = _with_code(path, tmp_path / "broken.tflite", tensor, position, new)
    with pytest.raises(StructureLost, match=r"'second/kernel' was clustered to 16 values"):
        audit(broken, promises)
    used = int(next(code for code in np.unique(tensor.codes[0]) if code not in (0, tensor.codes[0].ravel()[position])))
    broken = _with_code(path, tmp_path / "broken.tflite", tensor, position, used)
    with pytest.raises(StructureLost, match=r"weights away from their cluster"):
        audit(broken, promises)


def test_a_seventeenth_code_in_a_channel_fails_the_audit(tmp_path: Path) -> None:
    model = keras.Sequential([layers.Input((64,)), layers.Dense(4, use_bias=False, name="only")])
    kernel = np.tile(np.linspace(-1, 1, 16, dtype=np.float32).repeat(4)[:, None], (1, 4))
    model.set_weights([kernel])
    codes = np.tile(np.arange(16).repeat(4)[:, None], (1, 4)).astype(np.uint16)
    promises = promises_of(model, Constraints().with_codes({"only/kernel": codes}, 16))
    _export(model, tmp_path / "model.tflite")
    (layer,) = audit(tmp_path / "model.tflite", promises).layers
    assert (layer.codes, layer.codes_per_channel) == (16, 16)
    tensor = _tensor(tmp_path / "model.tflite", (4, 64))
    broken = _with_code(tmp_path / "model.tflite", tmp_path / "broken.tflite", tensor, 9, 3)
    with pytest.raises(StructureLost, match=r"clustered to 16 values, the \.tflite has 17 codes in a channel"):
        audit(broken, promises)


def test_any_changed_byte_changes_the_digest_that_the_store_compares(known: Any, tmp_path: Path) -> None:
    path, promises = known
    content, digest = path.read_bytes(), audit(path, promises).sha256
    strings = content.index(b"MLIR Converted")
    changed = bytearray(content)
    changed[strings] ^= 1
    (tmp_path / "changed.tflite").write_bytes(changed)
    assert audit(tmp_path / "changed.tflite", promises).sha256 != digest


def test_files_that_are_no_tflite_are_refused_in_one_line(known: Any, tmp_path: Path) -> None:
    content = known[0].read_bytes()
    bad = tmp_path / "bad.tflite"
    with pytest.raises(UsageError, match="not found"):
        audit(bad)
    garbled = bytes(np.random.default_rng(1).integers(0, 256, len(content), dtype=np.uint8))
    for what in (b"", b"TFL3", b"hello world", content[: len(content) // 2], content[:40], content[:8] + garbled[8:]):
        bad.write_bytes(what)
        with pytest.raises(UsageError, match=r"is not a \.tflite|is damaged") as caught:
            audit(bad)
        assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_an_audit_or_one_line(known: Any, tmp_path: Path) -> None:
    content, cut = known[0].read_bytes(), tmp_path / "cut.tflite"
    for length in range(8, len(content), len(content) // 60):
        cut.write_bytes(content[:length])
        with pytest.raises(UsageError):
            audit(cut, known[1])


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), structure=st.booleans())
def test_a_file_with_any_byte_changed_never_ends_in_a_traceback(
    known: Any, tmp_path: Path, at: float, byte: int, structure: bool
) -> None:
    content, damaged = bytearray(known[0].read_bytes()), tmp_path / "damaged.tflite"
    # Offsets and tables lie in the last fifth; most of the rest is weights and text.
    start = len(content) * 4 // 5 if structure else 8
    content[start + int(at * (len(content) - start))] = byte
    damaged.write_bytes(content)
    try:
        audit(damaged, known[1])
    except (UsageError, StructureLost) as error:
        assert "\n" not in str(error)


def test_a_float_file_is_readable(tmp_path: Path) -> None:
    model = tiny_models.dense()
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (tmp_path / "float.tflite").write_bytes(content)
    found = audit(tmp_path / "float.tflite")
    assert {layer.dtype for layer in found.layers} == {"float32"} and len(found.layers) == 2
    assert found.sparsity == 0 and found.max_codes == 12 * 16


def test_pruned_zeros_are_proved_in_operators_that_stay_float_too(tmp_path: Path) -> None:
    model = keras.Sequential(
        [layers.Input((4, 6, 6, 2)), layers.Conv3D(3, 2, name="cube"), layers.Flatten(), layers.Dense(2, name="out")]
    )
    promises = _constrained(model)
    _export(model, tmp_path / "model.tflite")
    found = audit(tmp_path / "model.tflite", promises)
    by_key = {layer.constraint: layer for layer in found.layers}
    assert by_key["cube/kernel"].dtype == "float32" and by_key["cube/kernel"].zeros_promised == 24
    assert by_key["out/kernel"].dtype == "int8" and found.unproven == ()


def _negative_gammas() -> Any:
    model = tiny_models.conv2d()
    norm = model.get_layer("norm")
    _, beta, mean, variance = norm.get_weights()
    norm.set_weights([np.linspace(-2, 2, 8, dtype=np.float32), beta + 0.1, mean + 0.2, variance * 3])
    return model


def _depthwise() -> Any:
    inputs = layers.Input((8, 8, 4))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="dw")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)))


def _transposed() -> Any:
    inputs = layers.Input((6, 6, 4))
    x = layers.Conv2DTranspose(5, 3, strides=2, activation="relu", name="up")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)))


def _twins() -> Any:
    """Two kernels of one shape, whose tensors only their values tell apart."""
    inputs = layers.Input((10,))
    x = layers.Dense(10, activation="relu", name="first")(inputs)
    return keras.Model(inputs, layers.Dense(10, name="second")(x))


@pytest.mark.parametrize(
    "build",
    [
        tiny_models.dense,
        tiny_models.separable,
        tiny_models.conv1d,
        tiny_models.lstm,
        tiny_models.nested,
        tiny_models.shared,
        _negative_gammas,
        _depthwise,
        _transposed,
        _twins,
    ],
)
@pytest.mark.parametrize("clustering", ["shared", "tensor", "channel"])
def test_every_promise_is_found_in_the_file_and_holds(
    build: Callable[[], Any], clustering: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(11)
    model = build()
    promises = _constrained(model, clustering)
    _export(model, tmp_path / "model.tflite")
    found = audit(tmp_path / "model.tflite", promises)
    assert found.unproven == ()
    assert {layer.constraint for layer in found.layers} >= set(promises)
    zeros = sum(layer.zeros_promised or 0 for layer in found.layers)
    assert zeros == sum(int((~promise.constraint.keep).sum()) for promise in promises.values())  # type: ignore[operator]
    for layer in found.layers:
        assert layer.codes_per_channel <= CLUSTERS
        shares = layer.constraint is not None and promises[layer.constraint].constraint.levels is not None
        assert not shares or (layer.codes <= CLUSTERS and layer.codes_scope == "tensor")


def test_a_code_beside_its_level_fails_the_audit_though_the_tensor_has_few(tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    model = tiny_models.conv2d()
    promises = _constrained(model, "shared")
    path = tmp_path / "model.tflite"
    _export(model, path)
    tensor = _tensor(path, (8, 3, 3, 8))
    assert len(np.unique(tensor.codes)) <= CLUSTERS
    alive = np.flatnonzero(tensor.codes[3])
    position, own = int(alive[0]), int(tensor.codes[3].ravel()[alive[0]])
    other = int(next(code for code in np.unique(tensor.codes) if code not in (0, own, -own)))
    at = position + 3 * tensor.codes[3].size
    broken = _with_code(path, tmp_path / "broken.tflite", tensor, at, other)
    with pytest.raises(StructureLost, match=r"clustered to 16 shared codes, .* and 1 weights away from their level"):
        audit(broken, promises)
    stranger = int(max(set(range(1, 127)) - set(np.abs(tensor.codes).ravel().tolist())))
    broken = _with_code(path, tmp_path / "broken.tflite", tensor, at, stranger)
    with pytest.raises(StructureLost, match=r"'second/kernel' was clustered to 16 shared codes"):
        audit(broken, promises)


def test_a_kernel_that_is_not_in_the_file_is_listed_as_unproven(known: Any) -> None:
    path, promises = known
    shape = promises["second/kernel"].values.shape
    stranger = Promise(
        "conv", tiny_models.samples(shape[1:], shape[0], seed=99), KernelConstraint(keep=np.ones(shape, bool))
    )
    found = audit(path, {**promises, "elsewhere/kernel": stranger})
    assert found.unproven == ("elsewhere/kernel",)


def test_reading_a_file_does_not_bring_tensorflow_in() -> None:
    # It takes longer to import than a small model to emulate.
    script = "import sys, armopt.compress.audit; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0

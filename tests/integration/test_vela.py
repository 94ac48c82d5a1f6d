"""Vela itself on small models: what it estimates, what it rejects, and a deployment that ends in firmware's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import armopt
import tiny_models
from armopt import Target
from armopt.catalog.devices import find_kind
from armopt.compress.audit import audit
from armopt.compress.backend import keras, tf
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.core.errors import DeviceError, UsageError
from armopt.core.events import Event, Note, TrainingStep
from armopt.core.npu import NpuEstimate, NpuKind
from armopt.core.profile import Profile
from armopt.core.records import Result
from armopt.npu_measuring import Estimated, estimate, simulate_on_fvp
from armopt.placing import NpuPlace, find_place
from armopt.runners.ethosu.vela import compile_for
from armopt.runners.samples import on_this_machine

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "result.schema.json").read_text())


def kind(name: str = "ethos-u55-128") -> NpuKind:
    found = find_kind(name)
    assert isinstance(found, NpuKind)
    return found


def wide() -> Any:
    """Dense layers whose weights are much more than there is to multiply."""
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(256)])


def with_sine() -> Any:
    inputs = keras.Input((8, 8, 3))
    x = tf.math.sin(keras.layers.Conv2D(8, 3, activation="relu")(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(x))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def picture() -> Any:
    """A convolution whose activations are most of what it takes."""
    inputs = keras.Input((32, 32, 8))
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(16, 3, padding="same")(x))


def exported(model: Any, path: Path, **options: Any) -> Path:
    shape = tuple(model.inputs[0].shape[1:])
    return export_tflite(model, Split((tiny_models.samples(shape),)), path, **options).path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(1)
    plain, sparse, clustered = wide(), wide(), wide()
    rng = np.random.default_rng(1)
    for model, change in (
        (plain, lambda kernel: kernel),
        (sparse, lambda kernel: np.where(rng.random(kernel.shape) < 0.8, 0, kernel)),
        (clustered, lambda kernel: np.sign(kernel) * 0.1),
    ):
        weights = [change(value) if value.ndim == 2 else value for value in plain.get_weights()]
        model.set_weights(weights)
    models = {"plain": plain, "sparse": sparse, "clustered": clustered, "sine": with_sine(), "picture": picture()}
    found = {name: exported(model, folder / f"{name}.tflite") for name, model in models.items()}
    found["float"] = exported(plain, folder / "float.tflite", numbers="float32")
    return found


@pytest.fixture(scope="module")
def estimates(files: dict[str, Path]) -> dict[str, Estimated]:
    return {name: estimate(path, kind()) for name, path in files.items()}


def npu(found: Estimated) -> NpuEstimate:
    assert found.measurement.npu is not None
    return found.measurement.npu


def test_cycles_memory_and_weights_of_a_model_are_estimated(estimates: dict[str, Estimated]) -> None:
    found, told = npu(estimates["plain"]), estimates["plain"].measurement
    assert found.original_weight_bytes == 64 * 256 + 256 * 256
    assert found.encoded_weight_bytes > 0.8 * found.original_weight_bytes
    assert found.flash_bytes is not None and found.flash_bytes > found.encoded_weight_bytes
    assert found.sram_bytes == found.arena_bytes > 0
    assert found.traffic_bytes["flash"] >= found.encoded_weight_bytes
    assert found.bound == "weights" and found.bound_shares["weights"] > 0.9 and "more zeros" in found.advice
    assert told.latency_ms is not None and told.latency_ms.p50 == found.cycles / 500e3
    assert (told.runner, told.evidence, told.freq_mhz) == ("vela", "estimated", 500)
    assert b"ethos-u" in estimates["plain"].model


def test_operators_add_up_to_the_whole(estimates: dict[str, Estimated]) -> None:
    for name in ("plain", "sparse", "sine"):
        layers = estimates[name].measurement.npu_layers
        assert layers is not None
        assert sum(layer.cycles for layer in layers) == npu(estimates[name]).cycles
        encoded = sum(layer.encoded_weight_bytes for layer in layers)
        assert encoded == pytest.approx(npu(estimates[name]).encoded_weight_bytes, rel=0.05)


def test_zeros_and_few_codes_make_a_model_that_waits_for_weights_faster(estimates: dict[str, Estimated]) -> None:
    plain, sparse, clustered = (npu(estimates[name]) for name in ("plain", "sparse", "clustered"))
    for shorter in (sparse, clustered):
        assert shorter.encoded_weight_bytes < 0.6 * plain.encoded_weight_bytes
        assert shorter.cycles < 0.7 * plain.cycles
        assert shorter.flash_bytes is not None and plain.flash_bytes is not None
        assert shorter.flash_bytes < plain.flash_bytes
        # What was told to be winnable at most was not won.
        assert shorter.cycles >= plain.cycles * (1 - plain.winnable_share)


def test_what_the_cpu_runs_has_no_latency_and_is_named(estimates: dict[str, Estimated]) -> None:
    assert "SIN" in npu(estimates["sine"]).fallback_ops
    assert estimates["sine"].measurement.latency_ms is None and npu(estimates["sine"]).cycles > 0
    layers = estimates["sine"].measurement.npu_layers or ()
    [sine] = [layer for layer in layers if layer.kind == "SIN"]
    assert sine.on_cpu and "Unsupported opType" in sine.advice


def test_a_float_model_costs_the_npu_nothing_and_is_not_told_to_be_fast(estimates: dict[str, Estimated]) -> None:
    found = npu(estimates["float"])
    assert found.cycles == 0 and set(found.fallback_ops) == {"FULLY_CONNECTED"} and found.bound is None
    assert estimates["float"].measurement.latency_ms is None


@pytest.mark.parametrize("name", ["ethos-u55-32", "ethos-u65-512", "ethos-u85-2048"])
def test_every_family_is_compiled_for(files: dict[str, Path], name: str) -> None:
    found = npu(estimate(files["plain"], kind(name)))
    assert found.cycles > 0 and found.fallback_ops == () and found.bound == "weights"
    in_dram = name != "ethos-u55-32"
    assert (found.flash_bytes is None) == in_dram == (found.dram_bytes is not None)
    assert 0 < found.arena_bytes < 10_000  # activations alone, wherever the weights lie


def test_the_arena_limit_is_kept_where_it_can_be(files: dict[str, Path]) -> None:
    small = kind().system.model_copy(update={"arena_limit_bytes": 32_768})
    tight = npu(estimate(files["picture"], kind().model_copy(update={"system": small})))
    assert tight.sram_bytes <= 32_768 < npu(estimate(files["picture"], kind())).sram_bytes


def test_a_system_of_ones_own_changes_the_estimate(files: dict[str, Path], tmp_path: Path) -> None:
    ini = tmp_path / "vela.ini"
    ini.write_text(
        "[System_Config.Slow_Flash]\ncore_clock=100e6\naxi0_port=Sram\naxi1_port=OffChipFlash\nSram_clock_scale=1.0\n"
        "OffChipFlash_clock_scale=0.03125\n[Memory_Mode.Shared_Sram]\nconst_mem_area=Axi1\narena_mem_area=Axi0\n"
        "cache_mem_area=Axi0\n"
    )
    place = find_place("ethos-u55-128", None, False, ini)
    assert isinstance(place, NpuPlace)
    slow, usual = npu(estimate(files["plain"], place.kind)), npu(estimate(files["plain"], kind()))
    assert (slow.system_config, slow.clock_mhz) == ("Slow_Flash", 100)
    assert slow.cycles > 1.9 * usual.cycles and slow.npu_ms > 9 * usual.npu_ms


def test_two_estimates_at_once_are_those_of_one_after_the_other(
    files: dict[str, Path], estimates: dict[str, Estimated]
) -> None:
    names = ["plain", "sparse", "sine", "clustered"]
    with ThreadPoolExecutor(2) as two:
        found = list(two.map(lambda name: estimate(files[name], kind()), names))
    for name, one in zip(names, found, strict=True):
        assert one.model == estimates[name].model
        assert one.measurement.npu == estimates[name].measurement.npu


def test_velas_chatter_reaches_nobody(files: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    estimate(files["sine"], kind())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_model_that_vela_rejects_or_dies_of_is_told_in_one_line(
    files: dict[str, Path], tmp_path: Path, size: int
) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(files["plain"].read_bytes()[:size])
    with pytest.raises(DeviceError, match=r"^Vela (rejects|died of) '.*broken\.tflite'") as caught:
        compile_for(broken, kind())
    assert "\n" not in str(caught.value) and caught.value.exit_code == 4
    with pytest.raises(UsageError, match="not found"):
        compile_for(tmp_path / "none.tflite", kind())


def test_a_vela_that_hangs_is_ended(files: dict[str, Path]) -> None:
    with pytest.raises(DeviceError, match=r"did not finish .* in 0\.05 s"):
        compile_for(files["plain"], kind(), timeout_s=0.05)


def test_a_configuration_that_vela_refuses_is_told(files: dict[str, Path]) -> None:
    dedicated = kind().system.model_copy(update={"memory_mode": "Dedicated_Sram"})
    with pytest.raises(DeviceError, match="refuses the configuration: Invalid configuration of arena_mem_area"):
        compile_for(files["plain"], kind().model_copy(update={"system": dedicated}))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "armopt", "measure", *arguments, "--device", "ethos-u55-128"]
    return subprocess.run(run, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "160"})


def test_the_command_prints_one_document_and_judges(files: dict[str, Path]) -> None:
    done = command(str(files["plain"]), "--json", "--max-latency", "1us", "--max-flash", "1MB")
    document = json.loads(done.stdout)
    assert done.returncode == 1 and document["verdict"] == "missed"
    assert document["npu"]["bound"] == "weights" and document["evidence"] == "estimated"
    assert [layer["kind"] for layer in document["npu_layers"]] == ["FULLY_CONNECTED", "FULLY_CONNECTED"]
    jsonschema.validate(document["npu"], {**SCHEMA["$defs"]["NpuEstimate"], "$defs": SCHEMA["$defs"]})


def test_the_command_refuses_to_judge_what_is_not_estimated(files: dict[str, Path]) -> None:
    done = command(str(files["sine"]), "--by-operator", "--max-latency", "1s")
    assert done.returncode == 3
    assert "INCONCLUSIVE: the CPU runs" in done.stdout and "SIN" in done.stdout
    refused = command(str(files["plain"]), "--threads", "2")
    assert refused.returncode == 2
    assert refused.stderr.endswith("--threads says nothing of ethos-u55-128; leave it out\n")


def test_cycles_of_a_simulated_npu_stand_beside_the_hosts_outputs(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin = Path(__file__).parents[1] / "unit" / "fvp_standin.py"  # Arm's own program can't be had here
    program = tmp_path / "FVP_Corstone_SSE-300_Ethos-U55"
    program.write_text(f"#!{sys.executable}\n{standin.read_text()}")
    program.chmod(0o755)
    _, expected = on_this_machine(files["plain"], None, None, lambda text: None)
    (tmp_path / "right").write_bytes(np.asarray(expected[0][:1]).tobytes())
    (tmp_path / "wrong").write_bytes(bytes(256))
    for variable, value in {"": tmp_path, "_FIRMWARE": program}.items():
        monkeypatch.setenv(f"ARMOPT_FVP{variable}", str(value))
    monkeypatch.setenv("STANDIN", "ok")
    monkeypatch.setenv("STANDIN_CALL", str(tmp_path / "call"))
    for outputs, equal in (("right", True), ("wrong", False)):
        monkeypatch.setenv("STANDIN_OUTPUTS", str(tmp_path / outputs))
        found = simulate_on_fvp(files["plain"], kind(), say=lambda text: None)
        assert (found.runner, found.evidence, found.cycles) == ("fvp", "estimated", 34_178)
        assert found.latency_ms is not None and found.latency_ms.p50 == pytest.approx(34_178 / 500e3)
        assert (found.outputs_compared, found.outputs_equal) == (1, equal)
    done = command(str(files["plain"]), "--fvp", "--max-latency", "1ms")
    assert done.returncode == 0 and "FVP_Corstone_SSE-300_Ethos-U55" in done.stdout
    assert "cycles of the NPU alone, simulated" in done.stdout


def deployed(model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, target: Target, **options: Any) -> Result:
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(folder / "cache"))
    tree = ("ptq", "prune", "prune/ptq", "prune/cluster", "prune/cluster/ptq")
    common: dict[str, object] = {"epochs": 1, "min_steps": 4, "sparsity": 0.8, "clusters": 4}
    given: dict[str, Any] = {"profile": Profile(name="tiny", tree=tree, common=common), **options}
    x = tiny_models.samples(tuple(model.inputs[0].shape[1:]), 40)
    y = tiny_models.labels(x)
    return armopt.deploy(
        model, (x, y), device="ethos-u55-128", target=target, out=str(folder / "out"), plots=False,
        loss="sparse_categorical_crossentropy", metric="accuracy", **given,
    )  # fmt: skip


def test_a_deployment_ends_in_what_firmware_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(1)
    outputs = keras.layers.Softmax()
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(3), outputs])
    result = deployed(model, tmp_path, monkeypatch, Target(min_accuracy=0), until="best")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"model.tflite", "model_vela.tflite", "model.h", "result.json"}
    jsonschema.validate(json.loads((out / "result.json").read_text()), SCHEMA)
    nodes = {node.path: node for node in result.nodes}
    plain, both = nodes["ptq"].npu, nodes["prune/cluster/ptq"].npu
    assert plain is not None and both is not None and nodes["prune"].npu is None
    assert both.encoded_weight_bytes < 0.5 * plain.encoded_weight_bytes and both.cycles < plain.cycles
    assert (result.runner, result.evidence, result.chosen) == ("vela", "estimated", "prune/cluster/ptq")
    assert nodes["ptq"].accuracy.device is None
    chosen = estimate(out / "model.tflite", kind())
    assert (out / "model_vela.tflite").read_bytes() == chosen.model
    assert f"ARMOPT_MODEL_BYTES {len(chosen.model)}\n" in (out / "model.h").read_text()
    assert audit(out / "model.tflite").max_codes <= 4


def test_what_the_npu_lacks_is_named_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    profile = Profile(name="no ptq", tree=("prune", "prune/ptq"), common={"epochs": 1, "min_steps": 4})
    result = deployed(with_sine(), tmp_path, monkeypatch, Target(), profile=profile, listener=told.append)
    [note] = [event for event in told if isinstance(event, Note) and "to the CPU" in event.text]
    assert "SIN" in note.text
    assert told.index(note) < next(i for i, event in enumerate(told) if isinstance(event, TrainingStep))
    [leaf] = [node for node in result.nodes if node.path == "prune/ptq"]
    assert leaf.latency_ms is None and leaf.npu is not None and "SIN" in leaf.npu.fallback_ops


def test_nothing_is_trained_for_a_latency_that_cannot_be_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = deployed(with_sine(), tmp_path, monkeypatch, Target(max_latency_ms=100))
    assert result.verdict == "inconclusive" and "SIN" in result.reason and result.chosen is None
    assert {node.path: node.status for node in result.nodes} == {
        "float": "built", "ptq": "inconclusive", "prune": "skipped", "prune/ptq": "skipped",
        "prune/cluster": "skipped", "prune/cluster/ptq": "skipped",
    }  # fmt: skip
    assert not (tmp_path / "out" / "model.h").exists()

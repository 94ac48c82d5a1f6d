"""The FVP's runner against a stand-in that behaves as Arm documents the program; a run on Arm's own was not made."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, PackagePath
from pathlib import Path
from typing import Any

import pytest
from npu_figures import KIND

from armopt.core.errors import DeviceError
from armopt.core.npu import NpuKind
from armopt.runners.ethosu import fvp_models
from armopt.runners.ethosu.fvp import Simulated, simulate
from armopt.runners.ethosu.fvp_models import MODEL_BYTES, TENSOR_BYTES, find_firmware, find_fvp
from armopt.runners.ethosu.fvp_uart import counters_of, license_trouble, trouble_of

STANDIN = Path(__file__).with_name("fvp_standin.py")
NAMES = {
    "ethos-u55-128": "FVP_Corstone_SSE-300_Ethos-U55",
    "ethos-u65-256": "FVP_Corstone_SSE-300_Ethos-U65",
    "ethos-u85-256": "FVP_Corstone_SSE-320",
}
OUTPUTS = bytes(range(12))


def kind(accelerator: str = "ethos-u55-128") -> NpuKind:
    npu = KIND.npu.model_copy(update={"accelerator": accelerator, "macs": int(accelerator.rpartition("-")[2])})
    return KIND.model_copy(update={"npu": npu})


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{STANDIN.read_text()}")
    path.chmod(0o755)
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for all FVPs, and firmware; the runner is told of both."""
    for name in NAMES.values():
        program(tmp_path / "fvp", name)
    (tmp_path / "runner.axf").write_bytes(b"\x7fELF")
    (tmp_path / "expected").write_bytes(OUTPUTS)
    for variable, value in {
        "ARMOPT_FVP": "fvp", "ARMOPT_FVP_FIRMWARE": "runner.axf", "STANDIN_OUTPUTS": "expected", "STANDIN_CALL": "call",
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, str(tmp_path / value))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, mode: str, accelerator: str = "ethos-u55-128", **options: Any) -> Simulated:
    monkeypatch.setenv("STANDIN", mode)
    given: dict[str, Any] = {"timeout_s": 30.0, **options}
    return simulate(b"model", b"\1\2\3", len(OUTPUTS), kind(accelerator), say=lambda text: None, **given)


@pytest.mark.parametrize("mode", ["ok", "lines", "garbage after"])
def test_cycles_of_the_npu_and_the_outputs_come_back(
    installed: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    found = run(monkeypatch, mode)
    assert found.cycles == 34_178 and found.outputs == OUTPUTS
    assert found.counters["NPU ACTIVE"] == 33_145 and found.counters["NPU AXI0_RD_DATA_BEAT_RECEIVED"] == 9_332
    assert all(name.startswith("NPU ") and value >= 0 for name, value in found.counters.items())  # no CPU cycles


@pytest.mark.parametrize("accelerator", NAMES)
def test_each_family_has_its_program_with_its_own_parameters(
    installed: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str
) -> None:
    found = run(monkeypatch, "ok", accelerator)
    assert found.program.name == NAMES[accelerator]
    call = json.loads((installed / "call").read_text())
    assert call["single"] == {"-a": str(installed / "runner.axf")}
    assert call["loaded"] == {"0x90000000": 5, "0x92000000": 3}
    new = accelerator.startswith("ethos-u85")
    macs, board = ("mps4_board.subsystem.ethosu", "mps4_board") if new else ("ethosu", "mps3_board")
    assert call["parameters"][f"{macs}.num_macs"] == accelerator.rpartition("-")[2]
    assert call["parameters"][f"{board}.telnetterminal0.start_telnet"] == "0"
    assert call["parameters"][f"{board}.visualisation.disable-visualisation"] == "1"
    assert call["parameters"][f"{board}.uart0.shutdown_on_eot"] == "1"


def test_the_python_that_a_program_brings_is_told_to_it(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fvp_models, "fvp_environment", fvp_models.fvp_environment)
    (installed / "fvp" / "python" / "lib").mkdir(parents=True)
    told = fvp_models.fvp_environment(installed / "fvp" / "FVP_Corstone_SSE-320")
    assert told["PYTHONHOME"] == str(installed / "fvp" / "python")
    assert told["LD_LIBRARY_PATH"].split(os.pathsep)[0] == str(installed / "fvp" / "python" / "lib")


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("crash", r"died of SIGSEGV: INFO - Initialising Ethos-U"),
        ("code", r"ended with code 3: error: cannot go on"),
        ("license", r"has no license: ERROR: License checkout failed: FlexNet"),
        ("garbage", r"told no NPU cycles: \S"),
        ("refused", r"told no NPU cycles: E: NPU config mismatch\. npu\.macs_per_cc=7, optimizer\.macs_per_cc=8"),
        ("no outputs", r"left no outputs"),
        ("short outputs", r"left 1 bytes of outputs, not 12"),
    ],
)
def test_every_way_to_fail_is_told_in_one_line(
    installed: Path, monkeypatch: pytest.MonkeyPatch, mode: str, told: str
) -> None:
    with pytest.raises(DeviceError, match=rf"^FVP_Corstone_SSE-300_Ethos-U55 {told}") as caught:
        run(monkeypatch, mode)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500 and caught.value.exit_code == 4


def test_a_run_that_hangs_is_ended_with_all_that_it_started(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"did not end in 2 s: INFO - Initialising Ethos-U device"):
        run(monkeypatch, "hang", timeout_s=2.0)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "what"),
    [
        (MODEL_BYTES + 1, 1, 1, "model has 33,554,433"),
        (1, TENSOR_BYTES + 1, 1, "input has"),
        (1, 1, TENSOR_BYTES + 1, "output has"),
    ],
)
def test_what_is_too_large_for_the_firmware_is_refused_before_anything_runs(
    model: int, inputs: int, outputs: int, what: str
) -> None:
    with pytest.raises(DeviceError, match=what):
        simulate(bytes(model), bytes(inputs), outputs, KIND, say=lambda text: None)


def test_a_program_is_found_on_the_path_and_as_arm_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = NAMES["ethos-u55-128"]
    monkeypatch.delenv("ARMOPT_FVP", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DeviceError, match=r"FVP_Corstone_SSE-300_Ethos-U55 or FVP_Corstone_SSE-310 is not on PATH"):
        find_fvp(KIND)
    on_path = program(tmp_path / "bin", name)
    assert find_fvp(KIND)[1] == on_path
    deep = program(tmp_path / "arm" / "models" / "Linux64_GCC-9.3", name)
    for told in (tmp_path / "arm", deep.parent, deep):
        monkeypatch.setenv("ARMOPT_FVP", str(told))
        assert find_fvp(KIND)[1] == deep
    deep.chmod(0o644)
    with pytest.raises(DeviceError, match=r"is not where ARMOPT_FVP says"):
        find_fvp(KIND)


def test_firmware_comes_from_the_package_that_the_user_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARMOPT_FVP_FIRMWARE", raising=False)
    platform = fvp_models._PLATFORMS["u55"][0]

    def not_installed(name: str) -> list[PackagePath]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(fvp_models, "files", not_installed)
    with pytest.raises(DeviceError, match="pip install --no-deps mlia-ethos-u"):
        find_firmware(KIND, platform)

    folder = "mlia/resources/backends/applications"
    listed = []
    for number, runtime, family in (("310", "tflm", "U55"), ("300", "executorch", "U55"), ("300", "tflm", "U55")):
        name = f"{folder}/inference_runner-sse-{number}-26.03.0-{runtime}-ethos-{family}-Default-noTA/runner.axf"
        path = PackagePath(name)
        path.dist = type("Installed", (), {"locate_file": lambda self, file: tmp_path / str(file)})()
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
        listed.append(path)
    monkeypatch.setattr(fvp_models, "files", lambda name: listed)
    assert "sse-300-26.03.0-tflm-ethos-U55" in str(find_firmware(KIND, platform))
    monkeypatch.setenv("ARMOPT_FVP_FIRMWARE", str(tmp_path / "none.axf"))
    with pytest.raises(DeviceError, match="which is not there"):
        find_firmware(KIND, platform)


def coded(value: object) -> str:
    return f"<metrics>{base64.b64encode(json.dumps(value).encode()).decode()}</metrics>"


@pytest.mark.parametrize(
    "told",
    [
        "",
        "\x00\xff garbage",
        "<metrics></metrics>",
        "<metrics>not base64</metrics>",
        coded(None),
        coded([{"samples": [{"name": "NPU TOTAL"}]}]),
        coded([{"samples": [{"name": "NPU TOTAL", "value": ["many"]}]}]),
        coded([{"samples": [{"name": "NPU TOTAL", "value": [-5]}]}]),
        coded([{"samples": [{"name": "CPU TOTAL", "value": [5]}]}]),
        "INFO - NPU TOTAL cycles: -5",
        "INFO - NPU TOTAL cycles: 1e3",
        "INFO - NPU TOTAL cycles: " + "9" * 40,
    ],
)
def test_what_is_no_counter_is_none(told: str) -> None:
    assert "NPU TOTAL" not in counters_of(told)


def test_the_firmwares_own_words_are_found() -> None:
    # What Arm's inference runner 26.03.0 says where it finds no NPU (recorded under qemu-system-arm -M mps3-an547).
    recorded = (
        "INFO - Initialising Ethos-U device@0x58102000\nINFO - Using Sram_Only/Shared_Sram memory mode\n"
        "ERROR - Failed to initialise Ethos-U device\n"
        "ERROR - Failed to initialise platform Arm Corstone-300 - AN552\nINFO - program terminating...\n\x04"
    )
    assert trouble_of(recorded) == "ERROR - Failed to initialise platform Arm Corstone-300 - AN552"
    assert counters_of(recorded) == {} and license_trouble(recorded) == ""
    assert license_trouble("x\nno valid licence\n") == "no valid licence"

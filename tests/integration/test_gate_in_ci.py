"""examples/ci as it stands, on the real emulator: the workflow's own commands, with the network refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

import ci_steps
import gate_models
from armopt.catalog.devices import find_device
from armopt.catalog.search_path import cache_dir
from armopt.cli.main import run
from armopt.runners.qemu.plugin import ensure_plugin
from armopt.runners.qemu.sysroot import LOCK_FILE, ensure_board_root

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.tflite, the same model built with other weights, and one with another block."""
    folder = tmp_path_factory.mktemp("models")
    gate_models.build(folder, "net", "net-2", "slower")
    return folder


@pytest.fixture(scope="module")
def full_cache() -> Path:
    """The user's cache, with everything in it that the emulated board needs."""
    ensure_plugin(say=print)
    ensure_board_root(find_device("pi4"), say=print, offline=False)
    return cache_dir()


@pytest.fixture(scope="module")
def baseline(models: Path, full_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made as examples/ci/README.md says."""
    readme = (ci_steps.EXAMPLES / "README.md").read_text()
    [command] = re.findall(r"^armopt measure .* > baseline\.json$", readme, re.MULTILINE)
    folder = repository(models / "net.tflite", None, tmp_path_factory.mktemp("made"))
    code, told = ci_steps.run_steps([ci_steps.Step("baseline", command)], folder, full_cache, offline=True)
    assert code == 0, told
    return folder / "baseline.json"


def repository(model: Path, baseline: Path | None, folder: Path) -> Path:
    shutil.copy(model, folder / "model.tflite")
    if baseline is not None:
        shutil.copy(baseline, folder / "baseline.json")
    return folder


def failures(folder: Path) -> dict[str, str]:
    root = xml.parse(folder / "reports" / "armopt.xml")
    return {
        case.get("name", ""): case[0].get("message", "")
        for case in root.iter("testcase")
        if len(case) and case[0].tag != "system-out"
    }


def test_a_model_with_one_more_block_fails_the_workflow_and_the_operator_is_named(
    models: Path, baseline: Path, full_cache: Path, tmp_path: Path
) -> None:
    folder = repository(models / "slower.tflite", baseline, tmp_path)
    code, told = ci_steps.run_steps(ci_steps.github()[1], folder, full_cache, offline=True)
    assert code == 1, told
    failed = failures(folder)
    assert {"latency", "instructions", "size"} <= set(failed)
    assert re.search(r"mostly new #6 CONV_2D .*, new #5 DEPTHWISE_CONV_2D", failed["instructions"])
    summary = (folder / "summary.md").read_text()
    assert "**REGRESSED by more than 1%**" in summary and "new operator" in summary
    told_json = json.loads((folder / "reports" / "measured.json").read_text())
    assert told_json["comparison"]["verdict"] == "regressed"


def test_the_same_model_built_anew_passes_the_job_and_its_json_is_the_next_baseline(
    models: Path, baseline: Path, full_cache: Path, tmp_path: Path
) -> None:
    folder = repository(models / "net-2.tflite", baseline, tmp_path)
    assert (folder / "model.tflite").read_bytes() != (models / "net.tflite").read_bytes()
    began = time.monotonic()
    code, told = ci_steps.run_steps(ci_steps.gitlab()[1], folder, full_cache, offline=True)
    assert code == 0, told
    assert time.monotonic() - began < 120
    assert not failures(folder) and "NO REGRESSION" in told
    assert run(["compare", str(baseline), str(folder / "reports" / "measured.json"), "--max-regression", "0.5%"]) == 0


def test_a_baseline_of_another_device_is_refused_before_anything_runs(
    models: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    arguments = ["measure", str(models / "net.tflite"), "--emulate", "--baseline", str(baseline)]
    assert run([*arguments, "--device", "pi5"]) == 2
    assert "device (pi4, not pi5)" in capsys.readouterr().err
    assert run([*arguments, "--device", "pi4", "--threads", "4"]) == 2
    assert "threads (1, not 4)" in capsys.readouterr().err
    assert time.monotonic() - began < 10


def test_without_a_baseline_there_is_nothing_to_regress_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["measure", "net.tflite", "--device", "pi4", "--max-regression", "1%"]) == 2
    assert "--max-regression speaks of a baseline, and there is none" in capsys.readouterr().err


def test_both_files_cache_the_system_and_hand_over_their_reports() -> None:
    workflow, steps = ci_steps.github()
    given = workflow["jobs"]["gate"]
    [cache] = [step["with"] for step in given["steps"] if step.get("uses", "").startswith("actions/cache@")]
    assert given["env"]["ARMOPT_CACHE_DIR"].endswith(cache["path"])
    lock = re.search(r"hashFiles\('\.venv/lib/\*/site-packages/(.*)'\)", cache["key"])
    assert lock is not None and LOCK_FILE.as_posix().endswith(lock[1])
    job, jobs_steps = ci_steps.gitlab()
    assert job["artifacts"]["reports"]["junit"] in " ".join(step.script for step in jobs_steps)
    assert job["variables"]["ARMOPT_CACHE_DIR"].removeprefix("$CI_PROJECT_DIR/").startswith(job["cache"]["paths"][0])
    [one] = [step.script for step in steps if "--baseline" in step.script]
    [other] = [step.script for step in jobs_steps if "--baseline" in step.script]
    assert one.replace("\\\n", " ").split()[3:] == other.split(), "both run the same command"


def deploy(folder: Path, *further: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "armopt", "deploy", "--data", "digits", "--device", "pi4", "--emulate"]
    options = ["--max-size", "120kB", "--no-plots", "--json", *further]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_a_deployment_is_held_against_an_earlier_one(full_cache: Path, tmp_path: Path) -> None:
    first = deploy(tmp_path)
    assert first.returncode == 0, first.stderr
    (tmp_path / "first.json").write_text(first.stdout)
    again = deploy(tmp_path, "--baseline", "first.json", "--max-regression", "0", "--junit", "junit.xml")
    assert again.returncode == 0, again.stderr
    compared = json.loads(again.stdout)["comparison"]
    held = {change["criterion"]: change["outcome"] for change in compared["changes"]}
    assert held == dict.fromkeys(("latency", "instructions", "operators", "size", "accuracy"), "held")
    better = json.loads(first.stdout)
    found = better["measurements"][better["chosen"]]
    found["instructions"] = round(0.9 * found["instructions"])
    (tmp_path / "better.json").write_text(json.dumps(better))
    worse = deploy(tmp_path, "--baseline", "better.json", "--markdown", "summary.md")
    assert worse.returncode == 1, worse.stderr
    assert json.loads(worse.stdout)["verdict"] == "met"
    summary = (tmp_path / "summary.md").read_text()
    on_disk = json.loads((tmp_path / json.loads(worse.stdout)["out"] / "result.json").read_text())
    assert on_disk == json.loads(worse.stdout) and on_disk["comparison"]["verdict"] == "regressed"
    assert "**TARGET MET**" in summary and "**REGRESSED by more than 1%**" in summary


@pytest.mark.slow
def test_from_an_empty_cache_the_workflow_takes_minutes_and_then_needs_no_network(
    models: Path, baseline: Path, tmp_path: Path
) -> None:
    folder = repository(models / "net.tflite", baseline, tmp_path)
    for offline, limit_s in ((False, 600), (True, 120)):
        began = time.monotonic()
        code, told = ci_steps.run_steps(ci_steps.github()[1], folder, tmp_path / "cache", offline=offline)
        assert code == 0, told
        assert time.monotonic() - began < limit_s

"""A board calibrates its kind: shapes out, timings back, coefficients kept. This test plays the board."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armopt.calibrating import calibrate
from armopt.calibration_timing import export_shapes, read_timings, time_here
from armopt.catalog.devices import find_device
from armopt.cli.main import run
from armopt.compress.probes import write_probes
from armopt.core.calibration import Terms, choose
from armopt.core.errors import DeviceError, UsageError
from armopt.latency.features import features_of
from armopt.measuring import measure
from armopt.runners.base import Job, make_runner
from armopt.runners.local import LocalRunner
from armopt.runners.samples import random_inputs

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]
PI4 = find_device("pi4")
# What the pretended board differs by: a slower core, memory that keeps it waiting longer.
FACTORS = {"matrix": 1.3, "parallel": 1.3, "serial": 1.3, "im2col": 1.3, "miss_ns": 1.3}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit") / "shapes"
    export_shapes(PI4, folder, say=print)
    return folder


@pytest.fixture(scope="module")
def timings(kit: Path) -> dict[str, Any]:
    """timings.json of a board whose terms are `FACTORS` times the kind's, with 2% of noise."""
    names = json.loads((kit / "probes.json").read_text())["probes"]
    paths = [kit / f"{name}.tflite" for name in names]
    with closing(LocalRunner(print)) as host:
        inputs = [random_inputs(host.describe(path), count=1) for path in paths]
    with closing(make_runner("qemu", PI4, say=print)) as runner:
        results = runner.run([Job(path, x, count=True) for path, x in zip(paths, inputs, strict=True)])
    random = np.random.default_rng(1)
    told = []
    for path, result in zip(paths, results, strict=True):
        assert result.counts is not None
        features = features_of(result.counts, PI4)
        for threads in (1, 4):
            base = choose(PI4.calibrations, features.kernels, features.numbers, threads)
            terms = [getattr(base, name) * FACTORS.get(name, 1.0) for name in Terms.model_fields]
            ms = float(features.design(PI4, threads=threads, freq_mhz=1800).sum(axis=0) @ np.array(terms))
            raw = [[ms * float(random.normal(1, 0.02)) for _ in range(9)] for _ in range(3)]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            told.append({"probe": path.stem, "sha256": digest, "threads": threads, "raw_ms": raw})
    cpus = [{"implementer": PI4.core.implementer, "part": PI4.core.part}] * 4
    return {
        "format": 1, "device": "pi4", "machine": "aarch64", "runtime": "litert 2.1.6", "kernels": "xnnpack",
        "cpus": cpus, "highest_mhz": 1800, "timings": told,
    }  # fmt: skip


@pytest.fixture
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path


def written(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "timings.json"
    path.write_text(json.dumps(values))
    return path


def test_the_boards_terms_come_back_and_are_used_from_then_on(
    kit: Path, timings: dict[str, Any], own_config: Path
) -> None:
    model = kit / "block-int8.tflite"
    before, _ = measure(model, find_device("pi4"))
    found = calibrate(PI4, read_timings(written(own_config, timings)), say=print)
    for base, timed, fit in found.parts:
        assert len(timed) == 12  # the shapes of one number format, with one number of threads
        for name, share, new in zip(Terms.model_fields, fit.told, fit.terms, strict=True):
            if share > 0.9:  # what the shapes tell; the rest stays near what it was
                assert new == pytest.approx(getattr(base, name) * FACTORS.get(name, 1.0), rel=0.1)
        assert max(abs(a / one.measured_ms - 1) for one, a in zip(timed, fit.after_ms, strict=True)) < 0.05
    after, _ = measure(model, find_device("pi4"))
    assert before.latency_ms and after.latency_ms
    assert after.latency_ms.p50 == pytest.approx(1.3 * before.latency_ms.p50, rel=0.05)
    assert "your own calibration" in (after.interval_source or "")


@pytest.mark.slow
def test_the_command_shows_what_it_found_and_what_to_know_of_it(
    timings: dict[str, Any], own_config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(own_config, timings | {"highest_mhz": 1500, "lowest_mhz": 900, "governor": "ondemand"})
    command = ["devices", "calibrate", "--device", "pi4", "--timings", str(path)]
    assert run(command) == 0
    shown = capfd.readouterr()
    assert "told by the timings" in shown.out and "left out" in shown.out and "interval:" in shown.out
    assert "1500 MHz" in shown.err and "ondemand" in shown.err
    assert run([*command, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert len(told["timings"]) == 48 and len(told["notes"]) == 2
    assert {tuple(one["threads"]) for one in told["calibrations"]} == {(1, 1), (2, 64)}
    assert Path(told["file"]).is_file()


def test_timings_of_another_board_or_of_other_files_are_refused(timings: dict[str, Any], own_config: Path) -> None:
    other_cpu = timings | {"cpus": [{"implementer": 0x41, "part": 0xD0B}]}
    with pytest.raises(UsageError, match="CPU part 0xd0b"):
        calibrate(PI4, read_timings(written(own_config, other_cpu)), say=print)
    with pytest.raises(UsageError, match="for 'pi4', not 'pi5'"):
        calibrate(find_device("pi5"), read_timings(written(own_config, timings)), say=print)
    first = timings["timings"][0] | {"sha256": "0" * 64}
    with pytest.raises(UsageError, match=r"another .*tflite than"):
        calibrate(PI4, read_timings(written(own_config, timings | {"timings": [first]})), say=print)
    assert find_device("pi4").user_calibrations == ()


def test_absurd_timings_are_refused_unless_they_are_wanted(timings: dict[str, Any], own_config: Path) -> None:
    slow = [one | {"raw_ms": [[1e5]]} for one in timings["timings"][:1]]
    read = read_timings(written(own_config, timings | {"timings": slow + timings["timings"][2:6]}))
    with pytest.raises(UsageError, match="--anyway"):
        calibrate(PI4, read, say=print)
    assert calibrate(PI4, read, anyway=True, say=print).path.is_file()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1, "timings": []}', "\x00" * 100])
def test_what_is_no_timings_file_is_one_line(own_config: Path, content: str) -> None:
    path = own_config / "timings.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"timings\.json") as caught:
        read_timings(path)
    assert "\n" not in str(caught.value)


def test_the_driver_runs_and_its_timings_of_this_machine_are_refused(kit: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(kit, folder)
    asked = json.loads((folder / "probes.json").read_text())
    (folder / "probes.json").write_text(json.dumps(asked | {"probes": ["block-int8", "dense-float"], "threads": [1]}))
    command = [sys.executable, "measure.py", "--processes", "2", "--seconds", "0.05"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    read = read_timings(folder / "timings.json")
    assert [(one.probe, one.threads, len(one.raw_ms)) for one in read.timings] == [
        ("block-int8", 1, 2), ("dense-float", 1, 2)
    ]  # fmt: skip
    if read.machine != "aarch64":
        with pytest.raises(UsageError, match="machine"):
            calibrate(PI4, read, say=print)
        with pytest.raises(DeviceError, match="not aarch64"):
            time_here(PI4, say=print)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        export_shapes(PI4, tmp_path, say=print)


def test_shapes_are_the_same_each_time(kit: Path, tmp_path: Path) -> None:
    for name in itertools.islice(write_probes(tmp_path, print), 4):
        assert (kit / f"{name}.tflite").read_bytes() == (tmp_path / f"{name}.tflite").read_bytes()

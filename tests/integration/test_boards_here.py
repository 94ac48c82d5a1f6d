"""Measuring as on a board, with this machine in its place: the same scripts, agent and rounds, without SSH."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armopt.boards import Boards
from armopt.catalog.devices import find_device
from armopt.cli.main import run
from armopt.core.errors import DeviceError, ModelError, UsageError
from armopt.core.gate import Observed, judge
from armopt.core.host import Host
from armopt.core.records import Measurement, Metric
from armopt.core.stability import Conditions
from armopt.core.stopping import Claim, decide
from armopt.core.target import Target
from armopt.runners.ssh.small_model import small_model


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    return tmp_path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "a model.tflite"
    path.write_bytes(small_model())
    return path


def measured(model: Path, claim: Claim, **asked: Any) -> Measurement:
    host = Host(name="local", device="pi4", ssh="local", python=sys.executable)
    boards = Boards([host], find_device("pi4"), say=lambda text: None, here=True)
    try:
        return boards.measure(model, claim, **asked)[0]
    finally:
        boards.close()


def test_a_fast_model_is_met_as_soon_as_its_rounds_decide(model: Path) -> None:
    claim = Claim(limit_ms=1000.0, percentile="p95")
    found = measured(model, claim)
    count = len(found.rounds)
    assert count >= claim.fewest_rounds
    for done in range(1, count + 1):
        # A round that throttled would have been the last one.
        clocks = tuple(clock for clock in found.round_mhz[:done] if clock)
        conditions = Conditions(throttled=found.throttled and done == count, clocks_mhz=clocks)
        assert decide(found.rounds[:done], claim, conditions).finished is (done == count)
    assert found.outputs_equal and found.outputs_compared == 4
    assert (found.evidence, found.runner, found.host, found.percentile) == ("measured", "local", "local", "p95")
    assert found.latency_ms is not None and found.latency_ms.runs == sum(map(len, found.rounds))
    assert found.peak_memory_kib and found.load_ms
    # Other work on this machine may unsettle the rounds, and then that is what the gate has to say.
    for percentile, verdict in (("p95", "met"), ("p90", "inconclusive")):
        target = Target(max_latency_ms=1000.0, percentile=percentile, evidence="measured")
        said = judge(target, Observed.by(found), Metric(name="accuracy")).verdict
        assert said == (verdict if found.stable else "unstable")


def test_a_slow_model_is_missed(model: Path) -> None:
    found = measured(model, Claim(limit_ms=1e-7))
    verdict = judge(Target(max_latency_ms=1e-7), Observed.by(found), Metric(name="accuracy")).verdict
    assert verdict == "missed" or found.stable is False  # other work on this machine may unsettle it


def test_sustained_work_has_a_curve(model: Path) -> None:
    found = measured(model, Claim(), sustain_s=4.0, cpus=(0,))
    assert len(found.sustained) == 20 and found.rounds == ()
    assert [point.seconds for point in found.sustained] == sorted(point.seconds for point in found.sustained)
    assert found.sustained[-1].seconds >= 4.0
    assert found.interval_source is not None and "without a pause" in found.interval_source


def test_what_does_not_fit_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        measured(model, Claim(), samples=[np.zeros((2, 3), np.int8)])
    with pytest.raises(DeviceError, match="can't be pinned to"):
        measured(model, Claim(), cpus=(1023,))
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(small_model()[:300])
    with pytest.raises(ModelError):
        measured(broken, Claim())


def test_the_command_line(model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.savez(
        tmp_path / "data.npz",
        x_train=np.zeros((4, 16), np.float32), y_train=np.zeros(4, np.int64),
        x_test=np.eye(16, dtype=np.float32), y_test=np.arange(16) % 8,
    )  # fmt: skip
    command = ["measure", str(model), "--device", "pi4", "--host", "local", "--max-latency", "1s", "--json"]
    assert run([*command, "--data", str(tmp_path / "data.npz")]) in (0, 3)
    told = json.loads(capsys.readouterr().out)
    assert told["score"]["samples"] == 16 and told["host"] == "local" and len(told["rounds"]) >= 6
    assert run(["measure", str(model), "--device", "pi4", "--host", "local"]) == 0
    shown = capsys.readouterr().out
    assert "local: local" in shown and "peak memory" in shown

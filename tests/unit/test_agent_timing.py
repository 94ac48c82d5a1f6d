"""The agent's timing mode, in a process of its own as on a board; what it reads from the kernel, from folders here."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armopt.runners import agent
from armopt.runners.ssh.small_model import INPUTS, small_model

AGENT = Path(agent.__file__)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(small_model())
    return path


def timed(model: Path, inputs: Path | None = None, **asked: Any) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the events of one timed job."""
    told = {"warmup_s": 0.01, "inferences": 50, "seconds": 10.0, "cpus": None, **asked}
    job = {"model": str(model), "threads": 1, "time": told, **({"inputs": str(inputs)} if inputs else {})}
    jobs = model.with_name("jobs.json")
    jobs.write_text(json.dumps([job]))
    # The affinity at the end, told as one more event.
    code = "import json, os, agent, sys; code = agent.run(json.load(open(sys.argv[1]))); "
    code += "print(json.dumps({'event': 'cpus', 'cpus': sorted(os.sched_getaffinity(0))})); sys.exit(code)"
    command = [sys.executable, "-c", code, str(jobs)]
    done = subprocess.run(command, cwd=AGENT.parent, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_timed_job_tells_raw_values_and_the_state_of_the_board(model: Path) -> None:
    code, (loaded, done, _) = timed(model)
    assert (code, loaded["event"], done["event"]) == (0, "loaded", "done")
    assert loaded["runtime"].startswith("litert ") and loaded["load_ms"] > 0
    assert len(done["raw_ms"]) == 50 and all(0 < value < 1000 for value in done["raw_ms"])
    assert done["peak_memory_kib"] > 10_000
    for pair in (done["mhz"], done["temperature_c"]):
        assert len(pair) == 2 and all(value is None or value > 0 for value in pair)
    assert done["throttled"] in (None, True, False) and "governor" in done


def test_time_ends_it_but_not_before_twenty_inferences(model: Path) -> None:
    assert len(timed(model, seconds=0.0, inferences=None)[1][1]["raw_ms"]) == 20
    assert len(timed(model, seconds=0.05, inferences=None)[1][1]["raw_ms"]) > 20


def test_its_own_samples_are_taken_in_turn_and_refused_where_they_do_not_fit(model: Path) -> None:
    inputs = model.with_name("inputs.npz")
    np.savez(inputs, a0=np.zeros((3, 1, INPUTS), np.int8))
    code, (_, done, _) = timed(model, inputs)
    assert code == 0 and len(done["raw_ms"]) == 50
    np.savez(inputs, a0=np.zeros((3, 1, INPUTS), np.float32))
    code, events = timed(model, inputs)
    assert code == 2 and events[1]["event"] == "error" and "float32" in events[1]["text"]


def test_it_stays_on_the_processors_it_was_pinned_to(model: Path) -> None:
    assert timed(model, cpus=[0])[1][-1]["cpus"] == [0]
    code, (error, _) = timed(model, cpus=[1023])
    assert (code, error["event"], error["kind"]) == (2, "error", "cpus")


def test_sustained_work_is_told_slice_by_slice(model: Path) -> None:
    code, (_, *slices, done, _) = timed(model, seconds=0.02, slices=3)
    assert (code, done["raw_ms"]) == (0, [])
    assert [(one["event"], one["index"]) for one in slices] == [("slice", 0), ("slice", 1), ("slice", 2)]
    assert slices[0]["seconds"] < slices[1]["seconds"] < slices[2]["seconds"]
    assert all(one["runs"] >= len(one["raw_ms"]) > 0 for one in slices)


def test_a_broken_model_is_an_error_event(model: Path) -> None:
    model.write_bytes(b"\x1c\x00\x00\x00TFL3 nothing else")
    code, (error, _) = timed(model)
    assert (code, error["event"], error["kind"]) == (2, "error", "model")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for what the kernel of a board shows."""
    for name in ("THERMAL", "CPUS", "FIRMWARE"):
        monkeypatch.setattr(agent, name, tmp_path / name)
    return tmp_path


def shown(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_board_that_shows_nothing_is_not_known_to_be_cool_or_throttled(kernel: Path) -> None:
    assert (agent.temperature_c(), agent.clock_mhz(), agent.throttled(None)) == (None, None, None)


def test_the_hottest_sensor_and_the_fastest_clock_count(kernel: Path) -> None:
    for zone, text in enumerate(("41500\n", "63200\n", "", "-5000", "nonsense")):
        shown(kernel / "THERMAL" / f"thermal_zone{zone}" / "temp", text)
    shown(kernel / "CPUS" / f"cpu{min(agent.os.sched_getaffinity(0))}" / "cpufreq" / "scaling_cur_freq", "1500000\n")
    assert (agent.temperature_c(), agent.clock_mhz()) == (63.2, 1500.0)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (0x0, "0\n", False),
        (0x0, "4\n", True),  # held back now
        (0x0, "40000\n", True),  # was held back meanwhile
        (0x40000, "40000\n", False),  # was held back before it started
        (0x40000, "50000\n", True),  # too little voltage meanwhile
        (None, "no number", None),
    ],
)
def test_a_raspberry_pi_tells_by_its_flags_whether_it_throttled(
    kernel: Path, before: int | None, now: str, expected: bool | None
) -> None:
    shown(kernel / "FIRMWARE", now)
    assert agent.throttled(before) is expected


@pytest.mark.parametrize(("kind", "state", "expected"), [("cpufreq-cpu0", "0", False), ("cpufreq-cpu0", "3", True)])
def test_elsewhere_cooling_of_the_processor_tells_and_a_fan_does_not(
    kernel: Path, kind: str, state: str, expected: bool
) -> None:
    shown(kernel / "THERMAL" / "cooling_device0" / "type", kind)
    shown(kernel / "THERMAL" / "cooling_device0" / "cur_state", state)
    shown(kernel / "THERMAL" / "cooling_device1" / "type", "pwm-fan")
    shown(kernel / "THERMAL" / "cooling_device1" / "cur_state", "4")
    assert agent.throttled(None) is expected


def test_the_agent_is_python_3_9() -> None:
    ast.parse(AGENT.read_text(encoding="utf-8"), feature_version=(3, 9))

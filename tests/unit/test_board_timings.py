from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armopt.calibrating import _check_board, _notes, _refined
from armopt.calibration_timing import read_timings
from armopt.catalog.devices import find_device
from armopt.core.device import BoardKind
from armopt.core.errors import UsageError
from armopt.core.timings import BoardTimings
from armopt.latency.features import Features

PI4 = find_device("pi4")
DIGEST = "0" * 64


def timing(probe: str = "dense-float", threads: int = 1, raw_ms: Any = ((1.0, 1.1),)) -> dict[str, Any]:
    return {"probe": probe, "sha256": DIGEST, "threads": threads, "raw_ms": raw_ms}


def document(*timings: dict[str, Any], **changed: Any) -> dict[str, Any]:
    cpus = [{"implementer": PI4.core.implementer, "part": PI4.core.part}] * 4
    return {
        "format": 1, "device": "pi4", "machine": "aarch64", "runtime": "litert 2.1.6", "kernels": "xnnpack",
        "cpus": cpus, "timings": list(timings) or [timing()],
    } | changed  # fmt: skip


def told(*timings: dict[str, Any], **changed: Any) -> BoardTimings:
    return BoardTimings.model_validate(document(*timings, **changed))


def features(kernels: Any = "xnnpack", numbers: Any = "float", mega_cycles: float = 1.8) -> Features:
    """As much as a millisecond of matrix products on a Raspberry Pi 4, before its terms."""
    zero = np.zeros(1)
    cycles = np.array([mega_cycles * 1e6])
    return Features(cycles, zero, zero, zero, zero, zero, np.ones(1), numbers, kernels, {"ports": 1.0})


def with_one_calibration(**changed: Any) -> BoardKind:
    one = PI4.core.calibrations[0].model_copy(update={"threads": (1, 64), "numbers": ("float", "integer")} | changed)
    return PI4.model_copy(update={"core": PI4.core.model_copy(update={"calibrations": (one,)})})


def test_one_thread_and_several_are_refined_each_from_its_own_timings() -> None:
    kind = with_one_calibration()
    read = told(timing(threads=1, raw_ms=[[2.0]]), timing(threads=4, raw_ms=[[0.4]]))
    (one, of_one, slower), (several, of_several, faster) = _refined(kind, read, {"dense-float": features()})
    assert (one.threads, several.threads) == ((1, 1), (2, 64))
    assert [each.measured_ms for each in of_one] == [2.0] and [each.measured_ms for each in of_several] == [0.4]
    assert slower.terms[0] > kind.calibrations[0].matrix > 0 and faster.terms[0] != slower.terms[0]


def test_what_other_kernels_took_does_not_become_xnnpacks() -> None:
    kind = with_one_calibration(kernels="xnnpack")
    [(way, _, _)] = _refined(kind, told(kernels="builtin"), {"dense-float": features(kernels="builtin")})
    assert way.kernels == "builtin"


def test_what_integers_took_does_not_become_the_floats() -> None:
    kind = with_one_calibration(numbers=("float",))
    [(way, _, _)] = _refined(kind, told(timing("dense-int8")), {"dense-int8": features(numbers="integer")})
    assert way.numbers == ("integer",)


def test_a_board_with_a_slower_clock_is_right_without_being_asked_for_its_clock() -> None:
    kind = with_one_calibration()
    base = kind.calibrations[0].matrix
    names = [f"shape{index}-float" for index in range(9)]
    took = [timing(name, raw_ms=[[base * 1.2]]) for name in names]  # 1,500 MHz instead of 1,800
    read = told(*took, highest_mhz=1500, lowest_mhz=1500)
    [(_, _, found)] = _refined(kind, read, {name: features() for name in names})
    assert found.after_ms == pytest.approx([base * 1.2] * 9, rel=0.01)
    [note] = _notes(kind, read, "litert 2.1.6")
    assert "1500 MHz" in note and "1800" in note


def test_a_clock_that_falls_and_another_runtime_are_told() -> None:
    falling = told(lowest_mhz=900, highest_mhz=1800, governor="ondemand")
    [note] = _notes(PI4, falling, "litert 2.1.6")
    assert "900 and 1800 MHz (governor ondemand)" in note
    [note] = _notes(PI4, told(runtime="litert 2.0.0"), "litert 2.1.6")
    assert "litert 2.0.0" in note and "litert 2.1.6" in note
    assert _notes(PI4, told(), "litert 2.1.6") == ()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"cpus": [{"implementer": 0x41, "part": 0xD0B}]}, "0xd0b"),
        ({"cpus": []}, "none that it told"),
        ({"machine": "x86_64", "cpus": []}, "x86_64"),
        ({"device": "pi5"}, "'pi5'"),
        ({"timings": [timing(threads=8)]}, "8 threads, pi4 has 4 cores"),
    ],
)
def test_timings_of_another_board_are_refused(changed: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        _check_board(PI4, told(**changed))


@pytest.mark.parametrize(
    "wrong",
    [
        {"timings": [timing(raw_ms=[[0.0]])]},
        {"timings": [timing(raw_ms=[[-1.0]])]},
        {"timings": [timing(raw_ms=[[math.nan]])]},
        {"timings": [timing(raw_ms=[[math.inf]])]},
        {"timings": [timing(raw_ms=[[1e300]])]},
        {"timings": [timing(raw_ms=[])]},
        {"timings": [timing(raw_ms=[[]])]},
        {"timings": [timing(raw_ms=[[1.0] * 5000])]},
        {"timings": [timing(raw_ms=[[1.0]] * 100)]},
        {"timings": [timing(f"shape{index}-float") for index in range(2000)]},
        {"timings": [timing(), timing()]},
        {"timings": [timing("../../dense-float")]},
        {"timings": [timing(threads=10**30)]},
        {"runtime": "litert 2\x1b[31m"},
        {"runtime": "onnx 1.0"},
        {"system": "x" * 10_000},
        {"highest_mhz": math.nan},
        {"odd": 1},
    ],
)
def test_what_no_board_writes_is_refused_in_one_line(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "timings.json"
    path.write_text(json.dumps(document(**wrong)))
    with pytest.raises(UsageError) as caught:
        read_timings(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_file_that_never_ends_is_refused() -> None:
    if not os.path.exists("/dev/zero"):  # noqa: PTH110 - a device, no file
        pytest.skip("no such device")
    with pytest.raises(UsageError, match="larger than 16 MB"):
        read_timings(Path("/dev/zero"))


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "timings.json"
    path.write_text("[" * 1_000_000)
    with pytest.raises(UsageError, match=r"timings\.json"):
        read_timings(path)

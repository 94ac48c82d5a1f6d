from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from armopt.catalog.calibrations import (
    UserCalibrations,
    forget_user_calibrations,
    user_calibrations_path,
    write_user_calibrations,
)
from armopt.catalog.devices import find_device
from armopt.cli.main import run
from armopt.core.calibration import choose
from armopt.core.errors import StoreError, UsageError


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    return tmp_path


def own(device: str = "pi4", **changed: Any) -> UserCalibrations:
    base = find_device("pi4").calibrations[0]
    one = base.model_copy(update={"matrix": 3.25, "source": 'a "board" \\ of\x7f mine', "rows": 24} | changed)
    return UserCalibrations(
        device=device, core="cortex-a72", runtime="litert 2.1.6", date="2026-11-25", timings=24, calibrations=(one,)
    )


def test_what_was_written_is_read_and_goes_before_the_kinds_own() -> None:
    before = find_device("pi4")
    kept = own()
    path = write_user_calibrations(kept)
    after = find_device("pi4")
    assert after.user_calibrations == kept.calibrations
    assert after.calibrations[1:] == before.calibrations
    [one] = kept.calibrations
    assert choose(after.calibrations, one.kernels, one.numbers[0], one.threads[0]) == one
    assert find_device("graviton1").user_calibrations == ()  # the same core, another kind
    assert [file.name for file in path.parent.iterdir()] == ["pi4.toml"]


def test_a_second_calibration_takes_the_place_of_the_first() -> None:
    write_user_calibrations(own())
    write_user_calibrations(own(matrix=1.5))
    assert [one.matrix for one in find_device("pi4").user_calibrations] == [1.5]


def test_forgetting_leaves_the_kinds_own() -> None:
    before = find_device("pi4")
    write_user_calibrations(own())
    assert forget_user_calibrations("pi4") and not forget_user_calibrations("pi4")
    assert find_device("pi4") == before


@pytest.mark.parametrize("content", ["", "device = 1", "[[calibrations]", 'device = "pi4"\nodd = 1'])
def test_a_broken_file_is_one_line_that_says_how_to_be_rid_of_it(content: str) -> None:
    path = user_calibrations_path("pi4")
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        find_device("pi4")
    line = str(caught.value)
    assert str(path) in line and "--forget" in line and "\n" not in line
    assert run(["devices", "calibrate", "--device", "pi4", "--forget"]) == 0
    find_device("pi4")


def test_a_calibration_of_another_core_is_not_used(config: Path) -> None:
    write_user_calibrations(own().model_copy(update={"core": "cortex-a53"}))
    with pytest.raises(UsageError, match="made for core cortex-a53"):
        find_device("pi4")


@pytest.mark.parametrize("name", ["../../.bashrc", "a/b", ".hidden", "", "x" * 200, "a\nb"])
def test_no_name_reaches_outside_the_folder(name: str) -> None:
    for act in (user_calibrations_path, forget_user_calibrations, lambda name: write_user_calibrations(own(name))):
        with pytest.raises(UsageError, match="can't be calibrated"):
            act(name)


def test_a_folder_that_cannot_be_written_is_one_line(config: Path) -> None:
    (config / "calibrations").write_text("a file")
    with pytest.raises(StoreError, match="can't be written"):
        write_user_calibrations(own())


def test_the_list_marks_a_kind_that_the_user_calibrated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices"]) == 0
    assert "calibrated" not in capsys.readouterr().out
    write_user_calibrations(own())
    assert run(["devices"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "calibrated" in line]
    assert line.startswith("pi4")
    assert run(["devices", "--json"]) == 0
    marked = {kind["name"]: len(kind.get("user_calibrations", ())) for kind in json.loads(capsys.readouterr().out)}
    assert marked.pop("pi4") == 1 and set(marked.values()) == {0}


@pytest.mark.parametrize("options", [[], ["--local", "--forget"], ["--export", "x", "--timings", "y"]])
def test_exactly_one_thing_is_asked_for(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "calibrate", "--device", "pi4", *options]) == 2
    assert "--export, --timings, --local, --forget" in capsys.readouterr().err


def test_forgetting_tells_whether_there_was_something(capsys: pytest.CaptureFixture[str]) -> None:
    write_user_calibrations(own())
    for removed in (True, False):
        assert run(["devices", "calibrate", "--device", "pi4", "--forget", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"device": "pi4", "removed": removed}

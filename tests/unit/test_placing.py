from __future__ import annotations

import platform
from pathlib import Path

import pytest

from armopt.catalog.hosts import add_host
from armopt.core.errors import UsageError
from armopt.core.host import Host
from armopt.placing import find_place


@pytest.fixture(autouse=True)
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    for name, kind in (("one", "pi4"), ("two", "pi4"), ("big", "pi5")):
        add_host(Host(name=name, device=kind, ssh=f"pi@{name}"))


def names(device: str | None, host: str | None, emulate: bool = False) -> list[str]:
    return [board.name for board in find_place(device, host, emulate).hosts]


def test_all_boards_of_the_kind_are_taken_and_that_is_said() -> None:
    place = find_place("pi4", None, False)
    assert [host.name for host in place.hosts] == ["one", "two"]
    assert "one, two" in place.why


def test_without_a_board_it_is_emulated_and_that_is_said() -> None:
    place = find_place("pi3", None, False)
    assert place.hosts == ()
    assert "emulated" in place.why


def test_what_is_named_is_taken() -> None:
    assert names("pi4", None, emulate=True) == []
    assert names(None, "big") == ["big"]
    assert names("pi4", "two, one") == ["two", "one"]
    assert find_place(None, "big", False).kind.name == "pi5"


@pytest.mark.parametrize(
    ("device", "host", "emulate", "says"),
    [
        (None, None, False, "no device given"),
        ("pi4", "one", True, "exclude each other"),
        (None, "one,big", False, "different kinds"),
        ("pi5", "one", False, "one is a pi4, not a pi5"),
        (None, "on", False, "did you mean one"),
        (None, ",", False, "names no board"),
        ("virtual", None, False, "--host virtual"),
        (None, "local", False, "needs to know"),
    ],
)
def test_names_that_do_not_go_together(device: str | None, host: str | None, emulate: bool, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        find_place(device, host, emulate)


def test_this_machine_is_a_board_only_where_it_is_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(UsageError, match="no Arm board"):
        find_place("pi4", "local", False)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    place = find_place("pi4", "local", False)
    assert (place.here, place.hosts[0].name) == (True, "local")

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from armopt.cli.main import run
from armopt.runners.virtual.board import VirtualBoard
from armopt.runners.virtual.keys import ensure_key
from armopt.runners.virtual.machine import Machine, State
from armopt.runners.virtual.qemu_options import Settings


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture
def other_program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process
        process.kill()


def test_a_pid_that_passed_to_another_program_is_neither_the_board_nor_killed(
    tmp_path: Path, other_program: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "qemu.pid").write_text(f"{other_program.pid}\n")
    state = State(settings=Settings(), port=1, started=0, image="x")
    (tmp_path / "state.json").write_text(state.model_dump_json())
    machine = Machine(tmp_path)
    assert machine.running() is None
    assert machine.kill() is False
    assert other_program.poll() is None


@pytest.mark.parametrize("content", ["", "{", '{"port": 1}', "\x00"])
def test_a_damaged_state_is_no_board(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    (tmp_path / "qemu.pid").write_text(content)
    assert Machine(tmp_path).running() is None


def test_the_last_words_are_one_clean_line_and_the_kernels_panic_goes_first(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.last_words() == "no output"
    machine.console.write_bytes(b"x" * 10_000 + b"\nfirst\n\x1b[31mlast\xff\n\n")
    assert "last" in machine.last_words() and "\x1b" not in machine.last_words()
    machine.console.write_bytes(b"first\n[ 1.2] Kernel panic - not syncing: no init\nCPU: 0\nlast\n")
    assert machine.gave_up() and machine.last_words() == "[ 1.2] Kernel panic - not syncing: no init"


def test_keys_are_made_once_and_the_private_one_is_the_users_alone(tmp_path: Path) -> None:
    pair = ensure_key(tmp_path / "key")
    made = pair.private.read_bytes(), pair.public.read_bytes()
    assert pair.private.stat().st_mode & 0o777 == 0o600
    assert (ensure_key(tmp_path / "key"), pair.private.read_bytes(), pair.public.read_bytes()) == (pair, *made)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", pair.private], capture_output=True, text=True, check=True)
    assert pair.as_host_key().fingerprint in shown.stdout


def test_without_the_image_offline_is_one_line_and_exit_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["emulator", "board", "start", "--offline"]) == 4
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "image is not in the cache" in captured.err and "run once without --offline" in captured.err


def test_missing_programs_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["emulator", "board", "start"]) == 4
    assert "apt-get install qemu-system-arm mmdebstrap" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--memory", "lots"], "--memory: 'lots' is not a size"),
        (["--home-size", "0M"], "--home-size: '0M' is not a size"),
        (["--memory", "300M"], "do not fit into 300M; give --memory 512M or more"),
        (["--port", "70000"], "70000 is not in the range"),
    ],
)
def test_options_that_can_not_be_are_exit_2(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["emulator", "board", "start", *options]) == 2
    assert told in capsys.readouterr().err


def test_another_board_that_has_the_name_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = Path(os.environ["ARMOPT_CONFIG_DIR"]) / "hosts.toml"
    hosts.parent.mkdir()
    hosts.write_text('[hosts.virtual]\ndevice = "pi4"\nssh = "pi@pi.local"\n')
    before = hosts.read_text()
    assert run(["emulator", "board", "start", "--offline"]) == 2
    assert "has the virtual board's name" in capsys.readouterr().err
    assert hosts.read_text() == before


def test_a_board_that_never_ran_can_be_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    assert VirtualBoard().stop() is False
    assert run(["emulator", "board", "status"]) == 4
    assert not (tmp_path / "cache").exists()

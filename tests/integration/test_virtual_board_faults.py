"""What only a machine of its own can have: a reboot, a wrong clock, a full disk; and a runtime cut on its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from board_at_hand import COUNTED_AGENT, in_background
from relay import Relay
from virtual_board import HOME, Board

from armopt.catalog.hosts import add_host, remove_host
from armopt.core.host import Host
from armopt.runners.base import Job
from armopt.runners.ssh import board_spec
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.board_run import BoardRun, Ran, Setup, Timing
from armopt.runners.ssh.connection import Connection
from armopt.runners.ssh.errors import LostConnection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ARMOPT = [sys.executable, "-m", "armopt"]
ROUNDS = 8


@pytest.fixture
def board(virtual_board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Board]:
    """The virtual board with an empty home."""
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(virtual_board.config_dir))
    virtual_board.empty_home()
    yield virtual_board
    virtual_board.empty_home()


class Counted:
    """A run on the board whose agent's processes are counted.

    Attributes:
        said: what the user was told.
    """

    def __init__(self, board: Board, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.setenv("ARMOPT_CACHE_DIR", str(folder / "cache"))
        monkeypatch.setattr(board_spec, "AGENT", COUNTED_AGENT)
        self._board, self._model = board, folder / "model"
        self._model.write_bytes(b"a model" * 1000)
        self.said: list[str] = []

    def ran(self) -> Ran:
        """What the user gets who repeats the command while it says that the connection broke."""
        for _ in range(5):
            try:
                return self._once()
            except LostConnection as error:
                self.said.append(str(error))
                time.sleep(5)
        raise AssertionError(self.said)

    def _once(self) -> Ran:
        host, job = self._board.host, Job(self._model, (np.arange(64, dtype=np.int8).reshape(4, 16),))
        with closing(BoardFolder(host, lambda: Connection(host, say=self.said.append), self.said.append)) as folder:
            setup, timing = Setup(host.python, None), Timing(ROUNDS)
            return BoardRun(folder, setup, [job], timing, lambda rounds: False, self.said.append).run()

    def processes(self) -> list[str]:
        """What the agent's processes noted, since the board was started."""
        return self._board.run_as_root(["cat", f"{HOME}/.armopt/ran"]).stdout.decode().splitlines()

    def when_heard(self, text: str, work: Callable[[], None]) -> None:
        """Do something once the user was told that."""

        def wait() -> None:
            while not any(text in line for line in self.said):
                time.sleep(0.05)
            work()

        self._done = in_background(wait)

    def join(self) -> None:
        """Wait for the end of that."""
        self._done.result(120)


@pytest.fixture
def counted(board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counted:
    return Counted(board, monkeypatch, tmp_path)


def test_after_a_reboot_the_rounds_that_are_missing_are_made(board: Board, counted: Counted) -> None:
    before = board.boot_id()
    counted.when_heard(f"round 3 of at most {ROUNDS}", board.reboot)
    assert len(counted.ran().rounds) == ROUNDS
    counted.join()
    assert board.boot_id() != before
    # Its home lies in memory: the run that it knew of is gone, and only this machine knows what was finished.
    again = counted.processes().count("timed, done")
    assert 1 <= again <= ROUNDS - 3
    assert counted.processes().count("timed") == again


def test_a_clock_that_jumps_changes_nothing(board: Board, counted: Counted) -> None:
    def jump() -> None:
        for ahead_s in (400 * 86400, -20 * 365 * 86400, 0):
            board.set_clock(ahead_s)
            time.sleep(3)

    counted.when_heard(f"round 2 of at most {ROUNDS}", jump)
    assert len(counted.ran().rounds) == ROUNDS
    counted.join()
    assert counted.processes() == ["run", "run, done", *["timed", "timed, done"] * ROUNDS]
    assert not [line for line in counted.said if "lock" in line or "again" in line]


def prepare(name: str = "virtual") -> subprocess.CompletedProcess[str]:
    command = [*ARMOPT, "hosts", "prepare", name]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


def runtimes(board: Board) -> list[str]:
    listed = board.run_as_root(["ls", "-A", f"{HOME}/.armopt/runtimes"], check=False).stdout.decode().split()
    return [name for name in listed if name != ".guard"]


def test_a_full_disk_is_one_line_and_leaves_nothing_half_made(board: Board) -> None:
    for leave_mib in (20, 75):  # too little for the wheels, and for what they unpack to
        board.fill_home(leave_bytes=leave_mib << 20)
        done = prepare()
        assert done.returncode == 4
        assert "virtual: its disk is full" in done.stderr.splitlines()[-1]
        assert runtimes(board) == []
        board.run_as_root(["rm", f"{HOME}/filler"])
    assert prepare().returncode == 0
    assert len(runtimes(board)) == 1


@pytest.fixture
def behind(board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Relay], None]]:
    """Has the board reached through a relay, as host `behind`."""
    config = tmp_path / "ssh_config"
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(config))
    identity = board.host.identity
    add_host(Host(name="behind", device="virtual", ssh="behind", python=board.host.python, identity=identity))

    def through(relay: Relay) -> None:
        lines = ["HostName 127.0.0.1", f"Port {relay.port}", "User armopt", f"HostKeyAlias [127.0.0.1]:{board.port}"]
        config.write_text("Host behind\n" + "".join(f"  {line}\n" for line in lines))

    yield through
    remove_host("behind")


def test_a_runtime_that_is_cut_on_its_way_is_brought_by_the_rerun(
    board: Board, behind: Callable[[Relay], None]
) -> None:
    with Relay(board.port, cut_after=9_000_000, cuts=1) as relay:
        behind(relay)
        done = prepare("behind")
        assert done.returncode == 0, done.stderr
    assert "connecting again" in done.stderr
    assert relay.connections >= 2
    assert len(runtimes(board)) == 1


def test_ctrl_c_while_the_runtime_is_sent_and_the_command_again(board: Board, behind: Callable[[Relay], None]) -> None:
    with Relay(board.port) as relay:
        behind(relay)
        with subprocess.Popen([*ARMOPT, "hosts", "prepare", "behind"], stderr=subprocess.PIPE, text=True) as process:
            end = time.monotonic() + 120
            while relay.carried < 3_000_000:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGINT)
            _, complaint = process.communicate(timeout=60)
        assert process.returncode == 130, complaint
        assert complaint.splitlines()[-1] == "armopt: interrupted; the same command continues"
    assert board.run_as_root(["test", "-e", f"{HOME}/.armopt/lock"], check=False).returncode == 1
    done = prepare()
    assert done.returncode == 0, done.stderr
    assert len(runtimes(board)) == 1

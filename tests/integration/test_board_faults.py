"""What goes wrong with boards, each against a real sshd: one clear line, nothing finished is lost, a rerun goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from board_at_hand import COMMAND, SETUP, AtHand, children, in_background, is_alive, line_of
from relay import Relay
from sshd import Sshd, make_key

from armopt.catalog.hosts import known_hosts_file
from armopt.cli.main import run
from armopt.core.errors import DeviceError
from armopt.runners.ssh import board_run, board_spec
from armopt.runners.ssh.board_spec import Timing
from armopt.runners.ssh.installing import install
from armopt.runners.ssh.small_model import small_model

ROUNDS = 4
DONE = ["run", *["timed"] * ROUNDS]


def killed_when(board: AtHand, processes: int, victims: Callable[[], list[int]]) -> Future[object]:
    """Kill once so many of the agent's processes began."""

    def work() -> None:
        board.await_processes(processes)
        for pid in victims():
            os.kill(pid, signal.SIGKILL)

    return in_background(work)


def agents(board: AtHand) -> list[int]:
    supervisor = board.supervisor()
    return children(supervisor) if supervisor else []


def test_a_killed_agent_is_told_and_the_rerun_does_what_is_missing(board: AtHand) -> None:
    killer = killed_when(board, 3, lambda: agents(board))
    with pytest.raises(DeviceError, match="board: the agent was killed; check the board's free memory") as error:
        board.timed(ROUNDS)
    killer.result()
    assert line_of(error)
    assert board.processes(", done") == DONE[:2]
    assert len(board.timed(ROUNDS)) == ROUNDS
    assert "board: going on after 1 rounds that were kept" in board.said
    assert board.processes(", done") == DONE


def test_a_killed_supervisor_takes_its_agent_along_and_is_started_again(board: AtHand) -> None:
    gone: list[bool] = []

    def kill() -> None:
        board.await_processes(2)
        supervisor, [agent] = board.supervisor(), agents(board)
        os.kill(supervisor or 0, signal.SIGKILL)
        time.sleep(1)
        gone.append(not is_alive(agent))

    killer = in_background(kill)
    assert len(board.ran(Timing(1, seconds=40)).rounds) == 1
    killer.result()
    assert gone == [True]
    assert "board: the run died on the board; starting it again" in board.said
    assert board.processes(", done") == DONE[:2] and len(board.processes()) == 3


def test_a_killed_armopt_leaves_a_run_that_the_next_one_takes_up(board: AtHand) -> None:
    with subprocess.Popen([*COMMAND, str(board.model)], stderr=subprocess.PIPE) as process:
        board.await_processes(3)
        process.kill()
    board.await_processes(len(DONE), ", done")  # nobody is connected
    assert len(board.timed(ROUNDS)) == ROUNDS
    assert board.processes() == DONE
    assert not [line for line in board.said if "broke a lock" in line]


def test_of_a_run_that_went_on_alone_as_much_is_taken_as_is_needed(board: AtHand) -> None:
    with subprocess.Popen([*COMMAND, str(board.model), "--rounds", "12"], stderr=subprocess.PIPE) as process:
        board.await_processes(2)
        process.kill()
    board.await_processes(10, ", done")
    assert len(board.timed(12, enough=3)) == 3
    assert board.supervisor() is None and not board.events()


def test_what_a_killed_armopt_left_does_not_disturb_another_measurement(board: AtHand) -> None:
    with subprocess.Popen([*COMMAND, str(board.model), "--rounds", "100"], stderr=subprocess.PIPE) as process:
        board.await_processes(3)
        process.kill()
    left = board.supervisor()
    assert left is not None
    board.model.write_bytes(b"another model")
    assert len(board.timed(ROUNDS)) == ROUNDS
    assert not is_alive(left)
    [kept] = board.events()
    assert kept.read_text().count('"round"') >= 1


def test_ctrl_c_ends_the_run_on_the_board_and_keeps_what_is_finished(board: AtHand) -> None:
    with subprocess.Popen([*COMMAND, str(board.model)], stderr=subprocess.PIPE, text=True) as process:
        board.await_processes(3)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint.splitlines()[-1] == "armopt: interrupted; the same command continues"
    board.await_supervisors_end()
    assert not (board.folder / "lock").exists()
    finished = len(board.processes(", done")) - 1
    assert 1 <= finished < ROUNDS
    assert len(board.timed(ROUNDS)) == ROUNDS
    assert board.processes(", done") == DONE


def test_a_run_that_comes_no_further_is_ended(board: AtHand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_run, "QUIET_S", 3.0)

    def stopped() -> list[int]:
        for pid in agents(board):
            os.kill(pid, signal.SIGSTOP)
        return []

    stopper = killed_when(board, 2, stopped)
    with pytest.raises(DeviceError, match="board: nothing came of the run for 3 s; it was ended") as error:
        board.timed(ROUNDS)
    stopper.result()
    assert line_of(error)
    board.await_supervisors_end()
    assert len(board.timed(ROUNDS)) == ROUNDS


@pytest.fixture
def small_disk(board: AtHand) -> Iterator[AtHand]:
    """The board's folder lies on a disk of three megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    board.folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "none", board.folder], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield board
    subprocess.run(["umount", "-l", board.folder], check=True)


def test_a_file_that_does_not_fit_is_told_and_not_sent_whole(small_disk: AtHand, server: Sshd) -> None:
    small_disk.model.write_bytes(random.Random(1).randbytes(8_000_000))
    with Relay(server.port) as relay:
        with pytest.raises(DeviceError, match=r"board: its disk is full: \d+ bytes are free") as error:
            small_disk.timed(ROUNDS, relay)
        assert relay.carried < 4_000_000
    assert line_of(error)
    assert not (small_disk.folder / "lock").exists()


def fill(board: AtHand, leave_bytes: int = 0) -> None:
    disk = os.statvfs(board.folder)
    (board.folder / "filler").write_bytes(bytes(disk.f_bavail * disk.f_frsize - leave_bytes))


def test_outputs_that_do_not_fit_are_told(small_disk: AtHand) -> None:
    small_disk.inputs = np.zeros((40_000, 16), np.int8)
    with closing(small_disk.opened()) as opened:
        opened.send(board_spec.specify(SETUP, [small_disk.job], None).contents)
    fill(small_disk, 200_000)
    with pytest.raises(DeviceError, match=r"board: its disk is full: .*No space left on device") as error:
        small_disk.timed(1)
    assert line_of(error)
    (small_disk.folder / "filler").unlink()
    assert len(small_disk.timed(1)) == 1


def test_a_disk_that_fills_up_loses_nothing_that_was_finished(small_disk: AtHand) -> None:
    small_disk.model.write_bytes(b"small")

    def fill_it() -> None:
        small_disk.await_processes(2, ", done")
        fill(small_disk)

    filler = in_background(fill_it)
    with pytest.raises(DeviceError, match="board: its disk is full") as error:
        small_disk.timed(3 * ROUNDS)
    filler.result()
    assert line_of(error)
    (small_disk.folder / "filler").unlink()
    finished = len(small_disk.processes(", done"))
    assert 2 <= finished < 3 * ROUNDS
    assert len(small_disk.timed(3 * ROUNDS)) == 3 * ROUNDS
    assert [line for line in small_disk.said if "rounds that were kept" in line]


def test_an_unchanged_model_costs_a_checksum_and_a_changed_one_is_compressed(board: AtHand, server: Sshd) -> None:
    random_bytes = np.random.default_rng(1).integers(-20, 20, 1_000_000).astype(np.int8)
    files = {"model.tflite": np.where(random_bytes < 0, 0, random_bytes).tobytes(), "run_model.py": b"print()"}
    carried, installed = [], []
    for _ in range(2):
        with Relay(server.port) as relay, closing(board.opened(relay)) as opened:
            opened.lock()
            installed.append(install(opened, SETUP, "model", files))
        carried.append(relay.carried)
    assert [(one.version, one.new) for one in installed] == [(1, True), (1, False)]
    assert carried[0] < 600_000 and carried[1] < 40_000


def measured(model: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `armopt measure` says, which fails."""
    model.write_bytes(small_model())
    assert run(["measure", str(model), "--host", "board", "--offline"]) == 4
    told = capsys.readouterr()
    [line] = told.err.splitlines()
    assert told.out == "" and line.startswith("armopt: host board: ")
    return line


def test_hosts_that_are_not_who_they_were_are_refused(
    board: AtHand, server: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    known = known_hosts_file().read_text()
    known_hosts_file().unlink()
    assert "its host key is not known" in measured(board.model, capsys)
    known_hosts_file().write_text(known)
    server.change_host_key()
    assert "its host key has changed" in measured(board.model, capsys)


def test_a_key_that_is_refused_is_told(board: AtHand, server: Sshd, capsys: pytest.CaptureFixture[str]) -> None:
    mine = server.authorized_keys.read_text()
    other = server.folder / "another_key"
    make_key(other)
    try:
        server.authorized_keys.write_text(other.with_suffix(".pub").read_text())
        assert "refuses to log" in measured(board.model, capsys)
    finally:
        server.authorized_keys.write_text(mine)


def test_a_board_that_is_off_is_told(board: AtHand, server: Sshd, capsys: pytest.CaptureFixture[str]) -> None:
    server.stop()
    try:
        assert "refuses connections" in measured(board.model, capsys)
    finally:
        server.start()

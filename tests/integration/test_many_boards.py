"""Several boards of one kind, each a real sshd: work is shared, and what one can't do another does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from board_at_hand import AtHand, in_background
from sshd import Sshd

from armopt.boards import Boards
from armopt.catalog.devices import find_device
from armopt.catalog.hosts import known_hosts_file
from armopt.core.errors import DeviceError
from armopt.runners.base import Job
from armopt.runners.ssh import requests
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.board_run import Timing
from armopt.runners.ssh.connection import Connection
from armopt.runners.ssh.runner import BoardRunner

ROUNDS = 2


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AtHand, AtHand]]:
    """Two boards, `first` and `second`, which one configuration knows."""
    monkeypatch.setattr(requests, "PATIENCE_S", 1.0)
    with Sshd(tmp_path / "one") as one, Sshd(tmp_path / "two") as two:
        boards = AtHand(one, monkeypatch, tmp_path, name="first"), AtHand(two, monkeypatch, tmp_path, name="second")
        config = tmp_path / "ssh_config"
        config.write_text(one.config("first").read_text() + two.config("second").read_text())
        monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(config))
        known_hosts_file().write_text(one.known_hosts_line() + two.known_hosts_line())
        yield boards


class Team:
    """Both boards at work on models, each of which is timed for two rounds."""

    def __init__(self, pair: tuple[AtHand, AtHand], folder: Path) -> None:
        self.said: list[str] = []
        self._models = [folder / f"model {number}" for number in range(4)]
        for number, model in enumerate(self._models):
            model.write_bytes(bytes([number]) * 1000)
        hosts = [board.host for board in pair]
        self.boards = Boards(hosts, find_device("pi4"), say=self.said.append, own_runtime=True)
        self.inputs = pair[0].job.inputs

    def work(self) -> list[int]:
        """Rounds of each model."""
        with closing(self.boards), ThreadPoolExecutor(2) as threads:
            return list(threads.map(self._timed, self._models))

    def _timed(self, model: Path) -> int:
        def work(runner: BoardRunner) -> int:
            return len(runner.time(Job(model, self.inputs), Timing(ROUNDS, seconds=1.0), lambda rounds: False).rounds)

        return self.boards.on_one(work)


def finished(board: AtHand) -> int:
    return board.processes(", done").count("timed")


def test_work_is_shared_and_the_boards_are_given_back(pair: tuple[AtHand, AtHand], tmp_path: Path) -> None:
    team = Team(pair, tmp_path)
    assert team.work() == [ROUNDS] * 4
    assert finished(pair[0]) + finished(pair[1]) == 4 * ROUNDS
    assert min(map(finished, pair)) >= ROUNDS
    assert not any((board.folder / "lock").exists() for board in pair)


def test_a_board_that_dies_gives_its_work_to_the_other(pair: tuple[AtHand, AtHand], tmp_path: Path) -> None:
    first, second = pair

    def die() -> None:
        first.await_processes(3)
        first.server.stop()

    team, killer = Team(pair, tmp_path), in_background(die)
    assert team.work() == [ROUNDS] * 4
    killer.result()
    [line] = [line for line in team.said if "going on with 1 of the boards" in line]
    assert line.startswith("host first: ")
    assert finished(second) >= 3 * ROUNDS


def test_a_board_that_is_anothers_is_left_out(pair: tuple[AtHand, AtHand], tmp_path: Path) -> None:
    host = pair[0].host
    with closing(BoardFolder(host, lambda: Connection(host, say=print), print)) as held:
        held.lock()
        team = Team(pair, tmp_path)
        assert team.work() == [ROUNDS] * 4
    [line] = [line for line in team.said if "going on with 1 of the boards" in line]
    assert line.startswith("first is used by ") and finished(pair[1]) == 4 * ROUNDS


def test_the_last_boards_words_are_told_to_all_who_wait(pair: tuple[AtHand, AtHand], tmp_path: Path) -> None:
    for board in pair:
        board.server.stop()
    team, heard = Team(pair, tmp_path), list[str]()

    def ask() -> None:
        try:
            team.boards.prepare()
        except DeviceError as error:
            heard.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    with closing(team.boards):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(heard) == 3 and all("refuses connections" in line for line in heard)

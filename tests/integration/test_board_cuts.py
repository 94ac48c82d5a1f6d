"""Connections to a board that break at any byte: nothing is run that is torn, lost that was finished, or done twice."""

from __future__ import annotations

import functools
import hashlib
import io
import random
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from typing import TypeVar

import pytest
from board_at_hand import COMMAND, AtHand, in_background
from relay import Relay
from sshd import Sshd

from armopt.runners.ssh import board_folder, requests
from armopt.runners.ssh.errors import LostConnection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = 4
SIZE = 30_000
MOST_TRIES = 4
_R = TypeVar("_R")


def until_done(try_once: Callable[[], _R]) -> tuple[_R, int]:
    """What a user gets who repeats the command while it says that the connection broke; and the number of tries."""
    for number in range(1, MOST_TRIES + 1):
        try:
            return try_once(), number
        except LostConnection as error:
            assert "\n" not in str(error) and error.exit_code == 4
    raise AssertionError("it does not come to an end")


def offsets(seed: int, most: int, count: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(most), count))


@functools.cache
def wheels() -> dict[str, bytes]:
    """Files that unpack to a runtime; they do not compress."""
    made = {}
    for number in range(3):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"package{number}/__init__.py", f"NUMBER = {number}\n")
            archive.writestr(f"package{number}/data.bin", random.Random(number).randbytes(SIZE))
        made[hashlib.sha256(packed.getvalue()).hexdigest()] = packed.getvalue()
    return made


def prepared(board: AtHand, name: str, relay: Relay) -> None:
    with closing(board.opened(relay)) as folder:
        folder.lock()
        if not folder.unpack(name, list(wheels())):
            folder.send(wheels())
            assert folder.unpack(name, list(wheels()))


def check_runtime(board: AtHand, name: str) -> None:
    runtime = board.folder / "runtimes" / name
    for number in range(3):
        assert (runtime / f"package{number}/data.bin").read_bytes() == random.Random(number).randbytes(SIZE)
        assert (runtime / f"package{number}/__init__.py").read_text() == f"NUMBER = {number}\n"
    assert not list((board.folder / "files").iterdir())
    assert sorted(path.name for path in (board.folder / "runtimes").iterdir()) == sorted([".guard", *names(board)])


def names(board: AtHand) -> list[str]:
    return [path.name for path in (board.folder / "runtimes").iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize(("cuts", "count"), [(1, 20), (3, 6)])
def test_preparing_cut_anywhere_comes_to_its_end(board: AtHand, server: Sshd, cuts: int, count: int) -> None:
    with Relay(server.port) as relay:
        prepared(board, "whole", relay)
    check_runtime(board, "whole")
    whole, tries = relay.carried, []
    assert whole > 3 * SIZE
    for number, offset in enumerate(offsets(12, whole, count)):
        with Relay(server.port, cut_after=offset, cuts=cuts) as relay:
            _, needed = until_done(lambda number=number, relay=relay: prepared(board, f"cut-{number}", relay))
        check_runtime(board, f"cut-{number}")
        assert not (board.folder / "lock").exists()
        tries.append(needed)
        assert relay.connections > 1
    # Cut after the login it goes on by itself; before, the next command does.
    assert tries.count(1) >= count * 3 // 4


@pytest.mark.parametrize(("cuts", "count"), [(1, 20), (3, 6)])
def test_measuring_cut_anywhere_loses_and_repeats_nothing(board: AtHand, server: Sshd, cuts: int, count: int) -> None:
    with Relay(server.port) as relay:
        board.timed(ROUNDS, relay)
    done = ["run", *["timed"] * ROUNDS]
    assert board.processes() == board.processes(", done") == done
    tries = []
    for number, offset in enumerate(offsets(34, relay.carried, count)):
        board.model.write_bytes(random.Random(number).randbytes(20_000))
        (board.folder / "ran").unlink()
        with Relay(server.port, cut_after=offset, cuts=cuts) as relay:
            rounds, needed = until_done(lambda relay=relay: board.timed(ROUNDS, relay))
        assert len(rounds) == ROUNDS
        assert board.processes() == board.processes(", done") == done, offset
        assert not board.events()
        tries.append(needed)
    assert tries.count(1) >= count * 3 // 4


def test_work_without_a_pause_cut_anywhere_is_told_once(board: AtHand, server: Sshd) -> None:
    with Relay(server.port) as relay:
        whole = board.sustained(2.0, relay)
    for number, offset in enumerate(offsets(56, relay.carried, 5)):
        board.model.write_bytes(random.Random(number).randbytes(20_000))
        (board.folder / "ran").unlink()
        with Relay(server.port, cut_after=offset, cuts=1) as relay:
            slices, _ = until_done(lambda relay=relay: board.sustained(2.0, relay))
        assert [one.index for one in slices] == [one.index for one in whole] == list(range(20))
        assert board.processes(", done") == ["run", "timed"], offset


def test_a_slow_link_is_used_as_it_is(board: AtHand, server: Sshd) -> None:
    with Relay(server.port, bytes_per_s=15_000) as relay:
        assert len(board.timed(ROUNDS, relay)) == ROUNDS
    assert board.processes() == ["run", *["timed"] * ROUNDS]


def frozen_when(board: AtHand, relay: Relay, *, for_good: bool) -> Future[object]:
    """Let the link go dead, as when a board loses its network, while the second round is timed."""

    def work() -> None:
        board.await_processes(3)
        relay.freeze(for_good=for_good)

    return in_background(work)


def test_a_link_that_goes_dead_is_made_anew(board: AtHand, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_folder, "_ALIVE_S", 4.0)
    with Relay(server.port) as relay:
        freezer = frozen_when(board, relay, for_good=False)
        assert len(board.timed(ROUNDS, relay)) == ROUNDS
        freezer.result()
    assert board.processes() == ["run", *["timed"] * ROUNDS]
    assert [line for line in board.said if "was silent for 4 s; connecting again" in line]


def test_a_link_that_stays_dead_is_given_up_in_time(
    board: AtHand, server: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_folder, "_ALIVE_S", 3.0)
    monkeypatch.setattr(requests, "PATIENCE_S", 2.0)
    with Relay(server.port) as relay:
        freezer = frozen_when(board, relay, for_good=True)
        began = time.monotonic()
        with pytest.raises(LostConnection) as error:
            board.timed(ROUNDS, relay)
        freezer.result()
    # What was done until then, the silence, and an attempt to connect that began within the patience.
    assert time.monotonic() - began < 20 + 3 + 2 + 15
    assert "\n" not in str(error.value) and error.value.exit_code == 4
    assert len(board.timed(ROUNDS)) == ROUNDS
    assert board.processes() == ["run", *["timed"] * ROUNDS]


def test_ctrl_c_while_files_are_sent_gives_the_board_back(board: AtHand, server: Sshd) -> None:
    with Relay(server.port, bytes_per_s=1e6) as relay:
        board.through(relay)
        with subprocess.Popen([*COMMAND, str(board.model), "--megabytes", "20"], stderr=subprocess.PIPE) as process:
            end = time.monotonic() + 30
            while relay.carried < 3_500_000:
                assert time.monotonic() < end
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (board.folder / "lock").exists()
    kept = [path for path in (board.folder / "files").iterdir() if not path.name.startswith(".")]
    assert 1 <= len(kept) < 20
    with closing(board.opened()) as folder:
        again = {path.name: path for path in kept}
        assert folder.send(again) == 0

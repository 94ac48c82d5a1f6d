"""Several users, and several scripts, at once on one board: one works, the others are told or wait."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from board_at_hand import COMMAND, SETUP, AtHand, in_background, line_of, wait_for
from relay import Relay
from sshd import Sshd

from armopt.core.errors import DeviceError
from armopt.runners.ssh import board_spec, lock
from armopt.runners.ssh.board_scripts import board_script
from armopt.runners.ssh.board_spec import Timing
from armopt.runners.ssh.script import script_command

ROUNDS = 4
DONE = ["run", *["timed"] * ROUNDS]


def test_a_second_user_is_told_who_and_since_when(board: AtHand) -> None:
    with closing(board.opened()) as first:
        first.lock()
        done = subprocess.run([*COMMAND, str(board.model)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    [line] = done.stderr.splitlines()
    assert f" pid {os.getpid()} since " in line and line.startswith("armopt: board is used by ")
    assert len(board.timed(ROUNDS)) == ROUNDS


def test_a_lock_is_kept_while_nothing_is_asked_of_the_board(board: AtHand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "TOUCH_S", 0.1)
    path = board.folder / "lock"
    with closing(board.opened()) as folder:
        folder.lock()
        before = json.loads(path.read_text())["touched"]
        wait_for(lambda: json.loads(path.read_text())["touched"] > before)
    assert not path.exists()


def lingering(board: AtHand, name: str, arguments: list[str], payload: bytes) -> subprocess.Popen[bytes]:
    """A script of the board's that is still at work after its connection broke."""
    source, environment = board_script(name), {**os.environ, "HOME": str(board.server.home)}
    command = script_command(sys.executable, source, arguments)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    process.stdin.write(source + payload)
    process.stdin.flush()
    return process


def test_a_transfer_that_was_left_does_not_touch_the_next_one(board: AtHand, server: Sshd) -> None:
    content = random.Random(1).randbytes(400_000)
    name = hashlib.sha256(content).hexdigest()
    header = json.dumps({"sha256": name, "size": len(content)}).encode() + b"\n"
    arguments = ["put", board.host.folder]

    def parts() -> list[Path]:
        return list(board.folder.glob("files/.part-*"))

    with (
        lingering(board, "files", arguments, header + content[:200_000]) as left,
        Relay(server.port, bytes_per_s=100_000) as relay,
    ):
        wait_for(lambda: len(parts()) == 1)

        def end_it() -> None:
            wait_for(lambda: len(parts()) == 2)
            told, _ = left.communicate()
            assert b'"kind": "cut"' in told

        ending = in_background(end_it)
        with closing(board.opened(relay)) as opened:
            assert opened.send({name: content}) == len(content)
            ending.result()
            assert opened.send({name: content}) == 0
    assert [path.name for path in (board.folder / "files").iterdir()] == [name]


def test_a_run_that_is_started_twice_at_once_runs_once(board: AtHand) -> None:
    spec = board_spec.specify(SETUP, [board.job], Timing(ROUNDS))
    with closing(board.opened()) as opened:
        opened.lock()
        opened.send(spec.contents)
        token = json.loads((board.folder / "lock").read_text())["token"]
        arguments = ["start", board.host.folder, "a-run", token]
        starts = [lingering(board, "runs", arguments, json.dumps(spec.told).encode()) for _ in range(4)]
        time.sleep(1)  # all of them are there, and wait for the end of what describes the run
        for start in starts:
            assert start.stdin is not None
            start.stdin.close()
        for start in starts:
            assert start.stdout is not None and start.stdout.read() == b'{"event": "running"}\n'
            start.wait()
        events: list[str] = []
        opened.follow("a-run", lambda event: events.append(event["event"]))
    assert [kind for kind in events if kind not in ("alive", "progress")] == ["outputs", *["round"] * ROUNDS, "end"]
    assert board.processes() == DONE


def left_by_another(board: AtHand) -> None:
    """A lock of a user elsewhere, whose connection broke more than a minute ago."""
    board.folder.mkdir(mode=0o700)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - 100
    held = {"token": "0" * 32, "owner": "eve@far pid 1", "boot": boot, "since": since, "touched": since}
    (board.folder / "lock").write_text(json.dumps(held))


def test_a_stale_lock_is_broken_with_a_message(board: AtHand) -> None:
    left_by_another(board)
    assert len(board.timed(ROUNDS)) == ROUNDS
    assert re.fullmatch(r"board: broke a lock that eve@far pid 1 left 1\d\d s ago", board.said[0])


def test_who_lost_the_lock_starts_nothing(board: AtHand) -> None:
    with closing(board.opened()) as folder:
        folder.lock()
        held = json.loads((board.folder / "lock").read_text())
        (board.folder / "lock").write_text(json.dumps({**held, "token": "0" * 32, "owner": "eve@far pid 1"}))
        with pytest.raises(DeviceError, match="board: somebody else took it meanwhile") as error:
            folder.start("a-run", {"outputs": None})
        assert line_of(error)
        with pytest.raises(DeviceError, match="board is used by eve@far pid 1"):
            folder.lock()
    assert (board.folder / "lock").exists() and not list(board.folder.glob("runs/*"))

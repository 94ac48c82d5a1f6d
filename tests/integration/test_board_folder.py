"""The board's scripts, run by this machine's Python in a board's place."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh import board_folder, requests
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.connection import Completed
from armopt.runners.ssh.errors import LostConnection
from armopt.runners.ssh.here import HereConnection
from armopt.runners.ssh.told import Event

HOST = Host(name="here", device="host", ssh="here", python=sys.executable)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def a_board(said: list[str] | None = None) -> BoardFolder:
    return BoardFolder(HOST, HereConnection, (said if said is not None else []).append)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def events_of(board: BoardFolder, run: str) -> list[Event]:
    told: list[Event] = []
    board.follow(run, told.append)
    return [event for event in told if event["event"] != "alive"]


def stored(board: BoardFolder, text: str) -> str:
    content = text.encode()
    board.send({digest(content): content})
    return digest(content)


def a_spec(board: BoardFolder, agent: str, rounds: int = 3) -> dict[str, Any]:
    """A run whose agent is a small script: what the supervisor does with it is what is tested."""
    model = stored(board, "a model")
    timing = {"model": model, "threads": 1, "delegate": True, "time": {"seconds": 0.1}}
    return {"agent": stored(board, agent), "python": sys.executable, "rounds": rounds, "timing": timing}


QUICK = 'import json; print(json.dumps({"event": "loaded"})); print(json.dumps({"event": "done", "raw_ms": [1.0]}))'


def test_the_folder_is_private_and_files_go_there_once(home: Path) -> None:
    board = a_board()
    contents = {digest(text): text for text in (b"one", b"two" * 100_000)}
    assert board.send(contents) == 3 + 300_000
    assert (home / ".armopt").stat().st_mode & 0o777 == 0o700
    assert board.send(contents) == 0
    assert {path.read_bytes() for path in (home / ".armopt/files").iterdir()} == set(contents.values())


def test_a_damaged_file_is_sent_again(home: Path) -> None:
    board, name = a_board(), digest(b"content")
    board.send({name: b"content"})
    (home / ".armopt/files" / name).write_bytes(b"cont")
    assert board.send({name: b"content"}) == 7
    assert (home / ".armopt/files" / name).read_bytes() == b"content"


def test_content_that_is_not_what_its_name_says_is_refused(home: Path) -> None:
    with pytest.raises(DeviceError, match="checksum"):
        a_board().send({digest(b"this"): b"that"})
    assert not list((home / ".armopt/files").iterdir())


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "x" * 200, "a\nb"])
def test_names_lead_nowhere_else(home: Path, name: str) -> None:
    with pytest.raises(DeviceError, match="not a name"):
        a_board().fetch("run", name, 1)
    with pytest.raises(DeviceError, match="not a name"):
        a_board().forget(name)


def test_a_folder_that_is_a_link_is_refused(home: Path) -> None:
    (home / "elsewhere").mkdir()
    (home / ".armopt").symlink_to(home / "elsewhere")
    with pytest.raises(DeviceError, match="own"):
        a_board().send({})


def test_the_lock_is_one_users(home: Path) -> None:
    first, second = a_board(), a_board()
    first.lock()
    with pytest.raises(DeviceError, match=r"here is used by .* since \d+ s"):
        second.lock()
    first.close()
    second.lock()
    second.close()
    assert not (home / ".armopt/lock").exists()


def change_lock(home: Path, **values: Any) -> None:
    path = home / ".armopt/lock"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("change", [{"touched": 1.0}, {"boot": "another"}])
def test_a_lock_that_was_left_is_broken(home: Path, change: dict[str, Any]) -> None:
    said: list[str] = []
    a_board().lock()
    change_lock(home, owner="eve@far pid 1", **change)
    a_board(said).lock()
    assert ("eve@far" in " ".join(said)) == ("touched" in change)


def test_a_run_keeps_a_lock_that_nobody_touches(home: Path) -> None:
    start = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    a_board().lock()
    change_lock(home, touched=1.0, owner="eve@far pid 1", run={"pid": os.getpid(), "start": start})
    with pytest.raises(DeviceError, match="eve@far"):
        a_board().lock()


TAKES_THE_LOCK = """
import sys, time
from armopt.core.host import Host
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.here import HereConnection
BoardFolder(Host(name="here", device="host", ssh="here", python=sys.executable), HereConnection, print).lock()
print("taken", flush=True)
time.sleep(60)
"""


def test_a_dead_process_of_this_machine_gives_its_lock_up_and_a_living_one_does_not(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", TAKES_THE_LOCK], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"taken\n"
        with pytest.raises(DeviceError, match=f"pid {process.pid} since"):
            a_board().lock()
        process.kill()
    a_board().lock()


def test_a_lock_of_nonsense_is_no_lock(home: Path) -> None:
    a_board().lock()
    (home / ".armopt/lock").write_text('{"token": 5}')
    a_board().lock()


def test_rounds_are_told_in_their_order(home: Path) -> None:
    board = a_board()
    board.lock()
    board.start("run", a_spec(board, QUICK))
    told = events_of(board, "run")
    assert [event["event"] for event in told] == ["round"] * 3 + ["end"]
    assert [event["index"] for event in told[:3]] == [0, 1, 2]
    assert told[0]["told"] == [{"raw_ms": [1.0]}]
    board.start("run", a_spec(board, QUICK))  # it has ended: nothing is run again
    assert len(events_of(board, "run")) == 4
    board.forget("run")
    assert not (home / ".armopt/runs/run").exists()


class Breaking(HereConnection):
    """Breaks once, after so many bytes of output."""

    def __init__(self, after: int) -> None:
        self.left: int | None = after

    def run(self, argv: Sequence[str], **asked: Any) -> Completed:
        take = asked["on_stdout"]

        def some(chunk: bytes) -> None:
            if self.left is None:
                take(chunk)
                return
            take(chunk[: self.left])
            self.left -= len(chunk[: self.left])
            if self.left == 0:
                self.left = None
                raise LostConnection("here: the connection broke", "try again")

        return super().run(argv, **{**asked, "on_stdout": some})


def test_each_event_is_told_once_wherever_the_connection_breaks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_FIRST_PAUSE_S", 0.0)
    board = a_board()
    board.lock()
    board.start("run", a_spec(board, QUICK))
    whole = events_of(board, "run")
    size = (home / ".armopt/runs/run/events").stat().st_size
    for after in range(1, size, size // 12):
        said: list[str] = []
        broken = BoardFolder(HOST, functools.partial(lambda connection: connection, Breaking(after)), said.append)
        assert events_of(broken, "run") == whole, after
        assert said == ["here: the connection broke; connecting again"]


def test_a_killed_run_goes_on_with_what_is_missing(home: Path) -> None:
    board = a_board()
    board.lock()
    slow = "import time; time.sleep(0.3); " + QUICK
    board.start("run", a_spec(board, slow, rounds=4))
    run = home / ".armopt/runs/run"
    while not (run / "events").exists() or (run / "events").read_bytes().count(b"\n") < 2:
        time.sleep(0.05)
    os.killpg(json.loads((run / "supervisor").read_text())["pid"], signal.SIGKILL)
    with (run / "events").open("ab") as file:
        file.write(b'{"event": "rou')  # what a board without power leaves
    assert events_of(board, "run")[-1]["event"] == "dead"
    board.start("run", a_spec(board, slow, rounds=4))
    told = events_of(board, "run")
    assert [event["index"] for event in told if event["event"] == "round"] == [0, 1, 2, 3]
    assert told[-1] == {"event": "end", "ok": True}


def test_a_failed_agent_says_so_and_is_tried_again(home: Path) -> None:
    board = a_board()
    board.lock()
    mark = home / "mended"
    agent = f"import os, signal\nif not os.path.exists({str(mark)!r}): os.kill(os.getpid(), signal.SIGKILL)\n{QUICK}"
    board.start("run", a_spec(board, agent, rounds=1))
    told = events_of(board, "run")
    assert [event["event"] for event in told] == ["agent_failed", "end"]
    assert told[0]["code"] == -signal.SIGKILL
    assert not told[1]["ok"]
    mark.touch()
    board.start("run", a_spec(board, agent, rounds=1))
    assert [event["event"] for event in events_of(board, "run")] == ["round", "end"]


def test_a_stopped_run_begins_no_further_round(home: Path) -> None:
    board = a_board()
    board.lock()
    board.start("run", a_spec(board, "import time; time.sleep(0.2); " + QUICK, rounds=1000))
    board.stop("run")
    told = events_of(board, "run")
    assert told[-1]["event"] == "dead"
    assert sum(event["event"] == "round" for event in told) <= 2


def test_files_of_a_run_come_back_whole(home: Path) -> None:
    board = a_board()
    (home / ".armopt/runs/run").mkdir(parents=True)
    content = os.urandom(3_000_000)
    (home / ".armopt/runs/run/outputs-0.npz").write_bytes(content)
    assert board.fetch("run", "outputs-0.npz", 3_000_000) == content
    with pytest.raises(DeviceError, match="cleared"):
        board.fetch("run", "outputs-1.npz", 3_000_000)
    with pytest.raises(DeviceError, match="does not hand over"):
        board.fetch("run", "outputs-0.npz", 2_999_999)


def installing(board: BoardFolder, text: str) -> Event:
    manifest = {"files": {"run_model.py": stored(board, text)}, "python": sys.executable, "runtime": None}
    return board.script("install", ["install", HOST.folder, "my-model"], json.dumps(manifest).encode())


def test_installing_and_going_back(home: Path) -> None:
    board, current = a_board(), home / ".armopt/models/my-model/current"
    assert installing(board, "print(1)")["version"] == 1
    assert installing(board, "import sys; print(2, *sys.argv[1:])")["version"] == 2
    again = installing(board, "import sys; print(2, *sys.argv[1:])")
    assert (again["version"], again["new"]) == (2, False)
    ran = subprocess.run([current / "run", "a b", "$(x)"], capture_output=True, text=True, check=True, cwd="/")
    assert ran.stdout == "2 a b $(x)\n"
    board.script("install", ["rollback", HOST.folder, "my-model"])
    assert str(current.readlink()) == "1"
    with pytest.raises(DeviceError, match="no version before 1"):
        board.script("install", ["rollback", HOST.folder, "my-model"])


def test_old_versions_go_but_never_the_one_to_go_back_to(home: Path) -> None:
    board, model = a_board(), home / ".armopt/models/my-model"
    for number in range(8):
        installing(board, f"print({number})")
    assert sorted(path.name for path in model.iterdir()) == [".guard", "4", "5", "6", "7", "8", "current"]


def test_a_full_disk_is_said_in_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(*_: object) -> Any:
        yield json.dumps({"sha256": "0" * 64, "size": 1 << 60}).encode() + b"\n"

    monkeypatch.setattr(board_folder, "_framed", impatient)
    with pytest.raises(DeviceError, match=r"its disk is full: \d+ bytes are free"):
        a_board().send({"0" * 64: b"much"})

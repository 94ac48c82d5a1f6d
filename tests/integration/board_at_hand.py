"""What tests of faults need: this machine behind a real sshd as a board, and runs whose agent's processes are counted.

board = AtHand(server, monkeypatch, tmp_path)
with Relay(server.port, cut_after=5000) as relay:
    rounds = board.timed(4, relay)
assert board.processes() == ["run", "timed", "timed", "timed", "timed"]
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from relay import Relay
from sshd import Sshd

from armopt.catalog.hosts import add_host
from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.core.rounds import Round, Slice
from armopt.runners.base import Job
from armopt.runners.ssh import board_spec
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.board_run import BoardRun, Ran, Setup, Timing
from armopt.runners.ssh.connection import Connection

COUNTED_AGENT = Path(__file__).with_name("counted_agent.py")
COMMAND = [sys.executable, str(Path(__file__).with_name("fault_command.py")), "try"]
WAITED_S = 20.0
SETUP = Setup(sys.executable, None)


class AtHand:
    """This machine as a board, with a cache, a configuration and a model of the test's own.

    Args:
        server: runs.
        monkeypatch: of the test.
        folder: of the test.
        name: of the board.

    Attributes:
        host: the board; its folder on the server is that of one test.
        folder: that, as this machine sees it.
        model: a file whose content no runtime would take: the counted agent does.
        inputs: what it is fed with.
        said: what the user was told.
    """

    def __init__(self, server: Sshd, monkeypatch: pytest.MonkeyPatch, folder: Path, *, name: str = "board") -> None:
        self.server, self._monkeypatch = server, monkeypatch
        monkeypatch.setenv("ARMOPT_CACHE_DIR", str(folder / "cache"))
        monkeypatch.setattr(board_spec, "AGENT", COUNTED_AGENT)
        changed = {"python": sys.executable, "folder": f"folder of {folder.name}"}
        self.host: Host = server.host(name, monkeypatch).model_copy(update=changed)
        add_host(self.host)
        self.folder = server.home / self.host.folder
        self.model = folder / "model.tflite"
        self.model.write_bytes(b"a model" * 2000)
        self.inputs = np.arange(64, dtype=np.int8).reshape(4, 16)
        self.said: list[str] = []

    def through(self, relay: Relay | None) -> Host:
        """The host, reached through the relay from now on."""
        lines = [f"HostKeyAlias [127.0.0.1]:{self.server.port}"]
        lines += [f"Port {relay.port}"] if relay else []
        self._monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(self.server.config(self.host.name, lines=lines)))
        return self.host

    def opened(self, relay: Relay | None = None) -> BoardFolder:
        """The board's folder, to be closed."""
        host = self.through(relay)
        return BoardFolder(host, lambda: Connection(host, say=self.said.append), self.said.append)

    def ran(self, timing: Timing, relay: Relay | None = None, *, enough: int = 1000) -> Ran:
        """One try of a run: with what an earlier try left, as the user's next command."""
        with closing(self.opened(relay)) as board:
            run = BoardRun(board, SETUP, [self.job], timing, lambda rounds: len(rounds) >= enough, self.said.append)
            return run.run()

    def timed(self, rounds: int, relay: Relay | None = None, *, enough: int = 1000) -> tuple[Round, ...]:
        """One try of a run of so many rounds, or until there are enough."""
        return self.ran(Timing(rounds, seconds=1.5), relay, enough=enough).rounds

    def sustained(self, sustain_s: float, relay: Relay | None = None) -> tuple[Slice, ...]:
        """One try of work without a pause."""
        return self.ran(Timing(1, sustain_s=sustain_s), relay).slices

    @property
    def job(self) -> Job:
        """What is run."""
        return Job(self.model, (self.inputs,))

    def processes(self, done: str = "") -> list[str]:
        """The agent's processes so far, in their order; with ", done" those that came to their end."""
        path = self.folder / "ran"
        lines = path.read_text().splitlines() if path.exists() else []
        assert "torn" not in lines
        return [line.removesuffix(done) for line in lines if line.endswith(done) and (done or "," not in line)]

    def await_processes(self, count: int, done: str = "") -> None:
        """Wait until so many of the agent's processes began, or came to their end."""
        wait_for(lambda: len(self.processes(done)) >= count)

    def supervisor(self) -> int | None:
        """The process that runs the agent now; None where there is none."""
        pids = [int(json.loads(path.read_text())["pid"]) for path in self.folder.glob("runs/*/supervisor")]
        return next((pid for pid in pids if is_alive(pid)), None)

    def await_supervisors_end(self) -> None:
        """Wait until nothing works on the board any more."""
        wait_for(lambda: self.supervisor() is None)

    def events(self) -> list[Path]:
        """The logs of the runs that are on the board."""
        return sorted(self.folder.glob("runs/*/events"))


def line_of(error: pytest.ExceptionInfo[DeviceError]) -> str:
    """The one line that the user gets, with the exit code 4."""
    line = str(error.value)
    assert "\n" not in line and len(line) < 400 and "; " in line and error.value.exit_code == 4
    return line


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    end = time.monotonic() + WAITED_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def in_background(work: Callable[[], object]) -> Future[object]:
    """Do it meanwhile; its `result` ends it, and raises what it raised."""
    threads = ThreadPoolExecutor(1)
    future = threads.submit(work)
    threads.shutdown(wait=False)
    return future


def is_alive(pid: int) -> bool:
    """Whether a process is there and is no zombie, which nobody may collect in a container."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children(parent: int) -> list[int]:
    """The processes that a process started."""
    listed = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []

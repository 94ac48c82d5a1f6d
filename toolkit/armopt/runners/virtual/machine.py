"""The virtual board as a process: QEMU in the background, with its pid, console and settings in one folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from armopt.core.errors import DeviceError
from armopt.core.record import Record
from armopt.runners.qemu.tools import require
from armopt.runners.ssh.errors import reason
from armopt.runners.virtual.image import Image
from armopt.runners.virtual.keys import KeyPair
from armopt.runners.virtual.qemu_options import Settings, board_options, escaped

_QEMU = "qemu-system-aarch64"
_LAUNCH_S = 30.0
_TERM_S, _KILL_S = 5.0, 5.0
_PORT_TRIES = 5
_PORT_TAKEN = "Could not set up host forwarding rule"
_TAIL_BYTES = 4096
_PANIC = "Kernel panic"


class State(Record):
    """What was started; `started` is in seconds since 1970."""

    settings: Settings
    port: int
    started: float
    image: str


@dataclass(frozen=True)
class Running:
    """A board that runs."""

    pid: int
    state: State

    @property
    def uptime_s(self) -> float:
        """Seconds since QEMU was started."""
        return max(0.0, time.time() - self.state.started)

    @property
    def resident_mib(self) -> int | None:
        """What QEMU takes of this machine's memory; None where that can't be read."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) // 1024
        return None


class Machine:
    """One virtual board's process. Not safe to start or stop from two processes at once: board.py locks.

    Args:
        folder: where its files are; an absolute path, and there.
    """

    def __init__(self, folder: Path) -> None:
        self.console = folder / "console.log"
        self._pid_file = folder / "qemu.pid"
        self._state_file = folder / "state.json"

    def running(self) -> Running | None:
        """The process, if it is this folder's and alive: a pid alone may have passed to another program."""
        state = self._last_state()
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text(encoding="ascii"))
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            ours = Path(os.fsdecode(arguments[0])).name == _QEMU and os.fsencode(self._pid_file) in arguments
            if state is not None and ours:
                return Running(pid, state)
        return None

    def launch(self, image: Image, settings: Settings, host_key: KeyPair, client_key: KeyPair) -> Running:
        """Start QEMU in the background and return at once; the board boots.

        Raises:
            DeviceError: QEMU is missing or refuses, or the port is taken.
        """
        require(_QEMU)
        last = self._last_state()
        port = settings.port or (last.port if last and _is_free(last.port) else _free_port())
        for _ in range(_PORT_TRIES):
            state = State(settings=settings, port=port, started=time.time(), image=str(image.folder))
            self._state_file.write_text(state.model_dump_json(indent=2), encoding="ascii")
            self.console.unlink(missing_ok=True)
            complaint = self._launch(board_options(image, settings, port, host_key, client_key))
            if complaint is None:
                running = self.running()
                if running is None:
                    raise DeviceError(f"the virtual board ended at once: {self.last_words()}", f"see {self.console}")
                return running
            if _PORT_TAKEN not in complaint:
                raise DeviceError(f"{_QEMU} does not start: {reason(complaint)}", "mend that and run again")
            if settings.port:
                break
            port = _free_port()
        raise DeviceError(f"port {port} of this machine is taken", "give another --port, or none for a free one")

    def kill(self) -> bool:
        """End the process; whether there was one. Raises DeviceError where it does not end."""
        was_running = False
        for number, limit_s in ((signal.SIGTERM, _TERM_S), (signal.SIGKILL, _KILL_S)):
            end = time.monotonic() + limit_s
            running = self.running()
            if running is None:
                return was_running
            was_running = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, number)
            while self.running() and time.monotonic() < end:
                time.sleep(0.02)
        if running := self.running():
            raise DeviceError(f"the virtual board's process {running.pid} does not end", "see what holds it")
        return True

    def last_words(self) -> str:
        """The console's last line, or the kernel's where it gave up."""
        lines = [line for line in self._console_tail().splitlines() if line.strip()]
        return reason(next((line for line in lines if _PANIC in line), lines[-1] if lines else "no output"))

    def gave_up(self) -> bool:
        """Whether the kernel stopped in a panic."""
        return _PANIC in self._console_tail()

    def _console_tail(self) -> str:
        with contextlib.suppress(OSError), self.console.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode(errors="replace")
        return ""

    def _last_state(self) -> State | None:
        with contextlib.suppress(OSError, ValidationError):
            return State.model_validate_json(self._state_file.read_bytes())
        return None

    def _launch(self, arguments: list[str]) -> str | None:
        """QEMU's complaint, or None where it runs on in the background."""
        console = ["-chardev", f"file,id=console,path={escaped(self.console)}", "-serial", "chardev:console"]
        try:
            done = subprocess.run(
                [_QEMU, *arguments, *console, "-pidfile", str(self._pid_file), "-daemonize"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LAUNCH_S,
                check=False,
                start_new_session=True,  # Ctrl-C is ours to answer
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{_QEMU} did not start within {_LAUNCH_S:.0f} s", "see whether the machine hangs"
            ) from error
        return None if done.returncode == 0 else done.stderr.decode(errors="replace")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

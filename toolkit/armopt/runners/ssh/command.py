"""Runs one command over a link: stdin goes out while output comes in, all of it bounded in size and in time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh.errors import reason
from armopt.runners.ssh.link import Link, closes_after
from armopt.runners.ssh.watch import TICK_S, Watch, lost

if TYPE_CHECKING:
    from paramiko import Channel

_STDERR_BYTES = 1 << 16
_CHUNK = 1 << 15  # paramiko's largest packet
_WRITER_ENDS_S = 1.0


@dataclass(frozen=True)
class Completed:
    """What a command left: its exit code (-1: ended by a signal), its stdout, the first 64 KiB of its stderr."""

    code: int
    stdout: bytes
    stderr: str


def run_command(
    link: Link,
    host: Host,
    command: bytes,
    *,
    stdin: Iterable[bytes],
    silence_s: float,
    within_s: float | None,
    most_bytes: int,
    on_stdout: Callable[[bytes], None] | None,
    answer_s: float,
) -> Completed:
    """Run the command line; `connection.Connection.run` says what the arguments mean and what is raised."""
    channel = _start(link, host, command, answer_s)
    kept, stderr, length = bytearray(), _Stderr(host, most_bytes), 0
    with Watch(link, host, silence_s, within_s) as watch, _Writer(channel, stdin, watch) as writer:
        for chunk in _output(channel, stderr, watch):
            writer.check()
            length += len(chunk)
            if length > most_bytes:
                raise _too_much(host, most_bytes)
            if on_stdout is None:
                kept += chunk
            elif chunk:
                on_stdout(chunk)
        code = _exit_code(link, channel, stderr, watch)
    writer.check()
    return Completed(code, bytes(kept), stderr.kept.decode("utf-8", "replace"))


def _start(link: Link, host: Host, command: bytes, answer_s: float) -> Channel:
    from paramiko import SSHException

    with closes_after(link, answer_s) as late:
        try:
            channel = link.transport.open_session(timeout=2 * answer_s)  # ours ends first
            channel.settimeout(TICK_S)
            channel.exec_command(command)
        except Exception as error:
            if isinstance(error, SSHException) and _answers(link):
                raise DeviceError(
                    f"{host.place}: runs no commands ({reason(error)})", "see sshd_config there"
                ) from error
            what = f"did not start a command within {answer_s:g} s" if late.is_set() else "the connection broke"
            raise lost(host, what) from error
    return channel


def _output(channel: Channel, stderr: _Stderr, watch: Watch) -> Iterator[bytes]:
    """Chunks of stdout until its end, empty ones while there is none. stderr is taken meanwhile."""
    window = channel.out_window_size
    while True:
        with watch.guard():
            try:
                chunk = channel.recv(_CHUNK)
                if not chunk:
                    return
                watch.touch(len(chunk))
            except TimeoutError:
                chunk = b""
            stderr.take(channel, watch)
            if channel.out_window_size != window:  # the board took some of what lies between us and it
                window = channel.out_window_size
                watch.touch()
        yield chunk


def _exit_code(link: Link, channel: Channel, stderr: _Stderr, watch: Watch) -> int:
    with watch.guard():
        while not channel.status_event.wait(TICK_S):
            stderr.take(channel, watch)
        stderr.take(channel, watch)
        # A command's exit code may come before its last output: after a connection that broke between the two, the
        # output would look whole. Where its end was not told, the board has to answer once more.
        if (channel.exit_status == -1 or not channel.eof_received) and not _answers(link):
            raise EOFError
        channel.close()
    return channel.exit_status


def _answers(link: Link) -> bool:
    """Whether the other side is still there. paramiko may not have noticed yet, so it is asked."""
    try:
        link.transport.global_request("keepalive@armopt")  # refused, which is an answer
    except Exception:
        return False
    return link.transport.is_active()


class _Stderr:
    """The beginning of a command's stderr."""

    def __init__(self, host: Host, most_bytes: int) -> None:
        self._host = host
        self._most_bytes = most_bytes
        self._length = 0
        self.kept = bytearray()

    def take(self, channel: Channel, watch: Watch) -> None:
        """Take what has come. Raises DeviceError where it goes on and on."""
        while channel.recv_stderr_ready():
            chunk = channel.recv_stderr(_CHUNK)
            watch.touch()
            self._length += len(chunk)
            if self._length > self._most_bytes + _STDERR_BYTES:
                raise _too_much(self._host, self._most_bytes + _STDERR_BYTES)
            self.kept += chunk[: _STDERR_BYTES - len(self.kept)]


class _Writer:
    """Sends stdin from a thread of its own, so that neither side waits for the other to read first."""

    def __init__(self, channel: Channel, stdin: Iterable[bytes], watch: Watch) -> None:
        self._channel, self._stdin, self._watch = channel, stdin, watch
        self._over = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join(_WRITER_ENDS_S)

    def check(self) -> None:
        """Raise what reading stdin raised."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for chunk in self._stdin:
                if not self._send(chunk):
                    return
        except Exception as error:  # the caller's own, from the place that chunks come from
            self._error = error
            return
        with contextlib.suppress(Exception):
            self._channel.shutdown_write()

    def _send(self, chunk: bytes) -> bool:
        """Send all of it; False where the command reads no more or the connection broke, which the reader tells."""
        start = 0
        while start < len(chunk):
            if self._over.is_set():
                return False
            try:
                sent = self._channel.send(chunk[start : start + _CHUNK])
            except TimeoutError:
                continue
            except Exception:
                return False
            if sent == 0:
                return False
            start += sent
            self._watch.touch(sent)
        return True


def _too_much(host: Host, most_bytes: int) -> DeviceError:
    return DeviceError(f"{host.place}: a command says more than {most_bytes:,} bytes", "see what it starts at a login")

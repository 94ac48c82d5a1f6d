"""Gets a socket to a host, directly or through a proxy command, within a stated time."""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import threading
import time

from armopt.core.host import Host
from armopt.runners.ssh.destination import Destination
from armopt.runners.ssh.errors import LostConnection, reason

_STDERR_BYTES = 4096
_PROXY_ENDS_S = 1.0


class Proxy:
    """A proxy command at work: our end of its stdin and stdout is a socket."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._said = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while chunk := self._process.stderr.read1(_STDERR_BYTES):  # type: ignore[attr-defined]  # it is buffered
                self._said = (self._said + chunk)[-_STDERR_BYTES:]

    def last_words(self) -> str:
        """The last line that it said on stderr; waits a moment for it to end."""
        self._reader.join(_PROXY_ENDS_S)
        lines = self._said.decode(errors="replace").split("\n")
        return reason(next((line for line in reversed(lines) if line.strip()), "the proxy ended"))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(_PROXY_ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_PROXY_ENDS_S)
        if self._process.stderr is not None and not self._reader.is_alive():
            self._process.stderr.close()


def dial(host: Host, destination: Destination, limit_s: float) -> tuple[socket.socket, Proxy | None]:
    """A socket to the host's SSH port, and the proxy that carries it where there is one.

    Raises:
        LostConnection: it can't be reached within `limit_s`, looking its name up included.
    """
    if destination.proxy:
        return _dial_proxy(host, destination)
    made: queue.SimpleQueue[socket.socket | Exception] = queue.SimpleQueue()
    given_up = threading.Event()

    def attempt() -> None:
        try:
            connected = _connect(destination, limit_s)
        except (OSError, UnicodeError) as error:
            made.put(error)
            return
        made.put(connected)
        if given_up.is_set():
            connected.close()

    # In a thread because the system's look-up of a name knows no limit of ours.
    threading.Thread(target=attempt, daemon=True).start()
    try:
        found = made.get(timeout=limit_s)
    except queue.Empty:
        found = TimeoutError()
    except BaseException:
        given_up.set()
        raise
    if isinstance(found, socket.socket):
        return found, None
    given_up.set()
    raise _unreachable(host, destination, found, limit_s) from found


def _connect(destination: Destination, limit_s: float) -> socket.socket:
    end = time.monotonic() + limit_s
    places = socket.getaddrinfo(destination.hostname, destination.port, destination.family, socket.SOCK_STREAM)
    problem: OSError = OSError("it has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(places):
        connected = socket.socket(family, kind, protocol)
        try:
            # Each address gets its share of what is left: the first of two may lead nowhere.
            connected.settimeout(max(0.1, (end - time.monotonic()) / (len(places) - tried)))
            connected.connect(address)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connected.close()
            problem = error
        else:
            return connected
    raise problem


def _unreachable(host: Host, destination: Destination, error: Exception, limit_s: float) -> LostConnection:
    where = f"{destination.hostname} port {destination.port}"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return LostConnection(f"{host.place}: no address for {destination.hostname}", "check the name and the network")
    if isinstance(error, ConnectionRefusedError):
        return LostConnection(f"{host.place}: {where} refuses connections", "start sshd there, or correct the port")
    if isinstance(error, TimeoutError):
        return LostConnection(f"{host.place}: {where} did not answer in {limit_s:g} s", "switch the board on, or wait")
    return LostConnection(
        f"{host.place}: {where}: {reason(getattr(error, 'strerror', None) or error)}", "check the network"
    )


def _dial_proxy(host: Host, destination: Destination) -> tuple[socket.socket, Proxy]:
    ours, its = socket.socketpair()
    try:
        process = subprocess.Popen(
            destination.proxy,
            stdin=its.fileno(),
            stdout=its.fileno(),
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to answer; what is still to be said to the board goes through it
        )
    except OSError as error:
        ours.close()
        raise LostConnection(
            f"{host.place}: {destination.proxy[0]} can't be started ({reason(error.strerror)})", "see your ssh config"
        ) from error
    finally:
        its.close()
    return ours, Proxy(process)

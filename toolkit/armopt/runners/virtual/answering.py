"""Waits until a virtual board that boots answers: its sshd says hello, and a login works."""

from __future__ import annotations

import contextlib
import socket
import time

from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.base import Say
from armopt.runners.ssh.connection import Connection, Limits
from armopt.runners.ssh.errors import LostConnection
from armopt.runners.virtual.machine import Machine

# QEMU takes connections before the board is there to answer them, and those may never be answered.
_HELLO_S = 1.0
_PAUSE_S = 0.1


def wait_until_up(machine: Machine, host: Host, port: int, limit_s: float, *, say: Say) -> None:
    """Return when a command ran on the board by SSH.

    Raises:
        DeviceError: the board gave up, or did not answer within `limit_s` (and what one more login takes); or it
            refuses the key, or shows another host key than the one that is recorded.
    """
    end = time.monotonic() + limit_s
    while True:
        if says_hello(port):
            with contextlib.suppress(LostConnection), Connection(host, say=say, limits=Limits(5, 20)) as connection:
                connection.run(["true"])
                return
        if machine.running() is None:
            raise DeviceError(f"the virtual board gave up: {machine.last_words()}", f"see {machine.console}")
        if machine.gave_up() or time.monotonic() > end:
            why = "did not boot" if machine.gave_up() else f"did not answer within {limit_s:.0f} s"
            raise DeviceError(f"the virtual board {why}: {machine.last_words()}", f"see {machine.console}")
        time.sleep(_PAUSE_S)


def says_hello(port: int) -> bool:
    """Whether an SSH server answers on that port of this machine, within a second."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _HELLO_S) as probe:
        return probe.recv(4) == b"SSH-"
    return False

"""Ends a command that a board no longer works on, within a stated time, whatever it is that waits for the board."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Self

from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh.errors import LostConnection
from armopt.runners.ssh.link import Link

TICK_S = 0.1
SLOWEST = 10_000  # bytes a second: what takes longer is no slow link but one that drips


class Watch:
    """Closes the link when nothing moves for `silence_s`, or after `within_s` in all where that is given.

    To `within_s` comes a second for every `SLOWEST` bytes that are carried. A context manager; it watches from the
    beginning of its block to the end.
    """

    def __init__(self, link: Link, host: Host, silence_s: float, within_s: float | None) -> None:
        self._link, self._host, self._silence_s, self._within_s = link, host, silence_s, within_s
        self._started = self._moved = time.monotonic()
        self._over = threading.Event()
        self._carried = 0
        self._late = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()

    def touch(self, size: int = 0) -> None:
        """Something moved, among it so many bytes of stdin or stdout."""
        self._moved = time.monotonic()
        self._carried += size  # the reader's and the writer's thread: a sum that is a little short does no harm

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """What paramiko raises in the block, whatever it is, means that the connection is lost.

        Its calls raise what its thread met, and that is of any type where a board sends nonsense.
        """
        try:
            yield
        except DeviceError:
            raise
        except Exception as error:
            raise lost(self._host, self._late or "the connection broke") from error

    def _run(self) -> None:
        while not self._over.wait(min(TICK_S, self._silence_s / 4)):
            now = time.monotonic()
            if now - self._moved > self._silence_s:
                self._late = f"was silent for {self._silence_s:g} s"
            elif self._within_s is not None and now - self._started > self._within_s + self._carried / SLOWEST:
                self._late = f"was not done within {self._within_s:g} s"
            if self._late:
                self._link.transport.close()
                return


def lost(host: Host, what: str) -> LostConnection:
    """The error that says so."""
    return LostConnection(f"{host.place}: {what}", "see whether the board is up, then run the same command again")

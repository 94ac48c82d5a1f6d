"""Requests to a board's scripts over connections that may break: each can be made twice without harm, and is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from armopt.core.errors import DeviceError
from armopt.runners.base import Say
from armopt.runners.ssh.board_scripts import board_script
from armopt.runners.ssh.connected import Connected
from armopt.runners.ssh.errors import LostConnection, reason
from armopt.runners.ssh.script import run_script
from armopt.runners.ssh.told import Event, Lines

if TYPE_CHECKING:
    from armopt.core.host import Host
    from armopt.runners.ssh.connection import Completed

# A connection that breaks is made again for so long, counted from the break or from the last news after it.
PATIENCE_S = 30.0
# A request is over after so long, however much the board says, and a second more for every 10 kB that it carries.
WITHIN_S = 120.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
_ANSWER_BYTES = 1 << 20
_MENDS = {  # of what the board's scripts themselves refuse; the agent's errors are of other kinds
    "disk": "make room on the board, then run again: what is finished is kept",
    "os": "check the folder's rights on the board",
    "usage": "check the folder's rights on the board",
    "cut": "run again",
    "damaged": "run again",
    "gone": "run again: the board's folder was cleared meanwhile",
    "held": "run again when it is free",
}

_R = TypeVar("_R")


class Requests:
    """Asks one board, one request at a time. Not safe to share between threads.

    LostConnection is raised once reconnecting has not helped for `PATIENCE_S`, or at once where there never was a
    connection; DeviceError for what the board refuses.

    Args:
        host: the board.
        connect: makes a connection that is not open yet.
        say: gets a line where a connection is made again.

    Attributes:
        lost: the last connection broke, and no other one was made since.
    """

    def __init__(self, host: Host, connect: Callable[[], Connected], say: Say) -> None:
        self.host, self._connect, self._say = host, connect, say
        self._connection: Connected | None = None
        self._was_connected = self.lost = False

    def disconnect(self) -> None:
        """End the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connected(self) -> Connected:
        """The connection, made now if there is none."""
        if self._connection is None:
            connection = self._connect()
            connection.open()
            self._connection, self._was_connected = connection, True
        return self._connection

    def ask(
        self,
        name: str,
        args: Sequence[str],
        *,
        payload: Callable[[], bytes | Iterable[bytes]] = lambda: b"",
        silence_s: float = 30.0,
        within_s: float = WITHIN_S,
    ) -> Event:
        """Run a script of the board's, again where the connection breaks; the last that it says."""

        def once() -> Event:
            last: Event | None = None

            def hear(event: Event) -> None:
                nonlocal last
                last = event

            self.once(name, args, hear, payload=payload(), silence_s=silence_s, within_s=within_s)
            if last is None:
                raise DeviceError(f"{self.host.name} says nothing to '{name} {args[0]}'", self._doctor)
            return last

        return self.patiently(once)

    def once(
        self,
        name: str,
        args: Sequence[str],
        on_event: Callable[[Event], int | None],
        *,
        payload: bytes | Iterable[bytes] = b"",
        silence_s: float = 30.0,
        within_s: float = WITHIN_S,
        most_bytes: int = _ANSWER_BYTES,
    ) -> bytes:
        """Run a script once. An event for which `on_event` gives a size is followed by so many bytes: the result."""
        failed: Event | None = None

        def hear(event: Event) -> None:
            nonlocal failed
            if event["event"] == "error" and event.get("kind") in _MENDS:
                failed = event
            else:
                lines.expect(on_event(event) or 0)

        lines = Lines(self.host.name, hear)
        done = run_script(
            self.connected(),
            self.host,
            board_script(name),
            args,
            payload=payload,
            silence_s=silence_s,
            within_s=within_s,
            most_bytes=most_bytes,
            on_stdout=lines.take,
        )
        if failed is not None:
            self._refuse(failed)
        if done.code != 0:
            last = reason((done.stderr.strip().splitlines() or ["no message"])[-1])
            what = f"{self.host.name}: '{name} {args[0]}' ended with code {done.code} ({last})"
            raise DeviceError(what, self._doctor)
        return bytes(lines.content)

    def text(self, name: str, args: Sequence[str]) -> bytes:
        """What a script prints that tells no events."""

        def once() -> Completed:
            return run_script(self.connected(), self.host, board_script(name), args, within_s=WITHIN_S)

        return self.patiently(once).stdout

    def patiently(self, request: Callable[[], _R], last_news: Callable[[], float] = lambda: 0.0) -> _R:
        """Make a request, again where the connection breaks.

        Args:
            request: makes it once.
            last_news: when a request that goes on where it broke last came further, by time.monotonic().
        """
        broke, pause = 0.0, _FIRST_PAUSE_S
        while True:
            try:
                result = request()
            except LostConnection as error:
                self.disconnect()
                self.lost = True
                now = time.monotonic()
                broke = max(broke or now, last_news())
                if not self._was_connected or now + pause - broke > PATIENCE_S:
                    raise
                self._say(f"{error.what}; connecting again")
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            except BaseException:
                self.disconnect()  # whatever it was, the channel is not in a state to go on with
                raise
            else:
                self.lost = False
                return result

    @property
    def _doctor(self) -> str:
        return f"run: armopt doctor --host {self.host.name}"

    def _refuse(self, failed: Event) -> None:
        kind, text = str(failed["kind"]), reason(failed.get("text", ""))
        error = LostConnection if kind == "cut" else DeviceError
        full = "its disk is full: " if kind == "disk" else ""
        raise error(f"{self.host.name}: {full}{text}", _MENDS[kind])

"""The lock that lets one process at a time use a board: taken, kept alive while it is held, given back."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator

from armopt.core.errors import ArmoptError, DeviceError
from armopt.core.host import Host
from armopt.runners.base import Say
from armopt.runners.ssh.connected import Connected
from armopt.runners.ssh.errors import reason
from armopt.runners.ssh.holder import Holder, was_left
from armopt.runners.ssh.requests import Requests
from armopt.runners.ssh.told import Event

TOUCH_S = 15.0  # a quarter of the time after which a lock counts as left: twice it may fail
_ANSWER_S = 10.0


class Lock:
    """One board's lock. Between `take` and `release` a thread touches it over a connection of its own.

    Args:
        host: the board.
        connect: makes a connection that is not open yet.
        say: told of a lock that was broken.
    """

    def __init__(self, host: Host, connect: Callable[[], Connected], say: Say) -> None:
        self._host, self._connect, self._say = host, connect, say
        self._holder = Holder()
        self._over = threading.Event()
        self._keeper: threading.Thread | None = None
        self._rests = False

    @property
    def token(self) -> str:
        """The holder's name."""
        return self._holder.token

    def take(self, requests: Requests) -> None:
        """Take the board for this process; who has it already finds out whether it still does.

        Raises:
            DeviceError: somebody else has it; the line says who and since when.
        """
        self._holder.hold()
        owner = f"{os.environ.get('USER') or os.environ.get('LOGNAME') or os.getuid()}@{socket.gethostname()}"
        dead = ""
        for _ in range(2):
            told = requests.ask("lock", ["take", self._host.folder, self.token, f"{owner} pid {os.getpid()}", dead])
            if told["event"] == "taken":
                if told.get("broken"):
                    age = _seconds(told, "broken_age_s")
                    self._say(f"{self._host.name}: broke a lock that {reason(told['broken'])} left {age} ago")
                self._keep()
                return
            if dead or not was_left(str(told.get("token"))):
                break
            dead = str(told["token"])  # a process of this machine that is gone: its run is ours to go on with
        if self._keeper is None:
            self._holder.drop(for_good=True)
        who = reason(told["owner"]) if told.get("owner") else "another"
        raise DeviceError(
            f"{self._host.name} is used by {who} since {_seconds(told, 'age_s')}",
            "wait, or name another board with --host; a lock that is left grows stale in a minute",
        )

    def release(self, requests: Requests) -> None:
        """Give it back; a board that can't be reached keeps a lock that grows stale."""
        if self._keeper is None:
            return
        self._over.set()
        self._keeper, given_back = None, False
        try:
            if not requests.lost:
                arguments = ["release", self._host.folder, self.token]
                requests.once("lock", arguments, _ignore, silence_s=_ANSWER_S, within_s=_ANSWER_S)
                given_back = True
        except ArmoptError:
            pass
        finally:
            self._holder.drop(for_good=given_back)

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Nothing is touched meanwhile: the request itself keeps the lock, and the board is not to be disturbed."""
        self._rests = True
        try:
            yield
        finally:
            self._rests = False

    def _keep(self) -> None:
        if self._keeper is None:
            self._over = threading.Event()
            name = f"lock of {self._host.name}"
            self._keeper = threading.Thread(target=self._touch, args=(self._over,), name=name, daemon=True)
            self._keeper.start()

    def _touch(self, over: threading.Event) -> None:
        second = Requests(self._host, self._connect, _unsaid)
        while not over.wait(TOUCH_S):
            if self._rests:
                continue
            try:
                arguments = ["keep", self._host.folder, self.token]
                second.once("lock", arguments, _ignore, silence_s=_ANSWER_S, within_s=_ANSWER_S)
            except ArmoptError:  # a request of the run itself finds it out, too, and says so
                second.disconnect()
        second.disconnect()


def _seconds(told: Event, key: str) -> str:
    value = told.get(key)
    return f"{value:.0f} s" if isinstance(value, (int, float)) and 0 <= value < 1e9 else "unknown time"


def _ignore(event: Event) -> None:
    """Nothing is made of it."""


def _unsaid(text: str) -> None:
    """Nobody is told."""

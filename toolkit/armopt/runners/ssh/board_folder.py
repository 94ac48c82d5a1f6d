"""The folder that armopt keeps on a board: files under their checksums, runtimes, runs, the lock, installed models."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from armopt.core.errors import DeviceError
from armopt.runners.base import Say
from armopt.runners.ssh.board_scripts import board_script
from armopt.runners.ssh.connected import Connected
from armopt.runners.ssh.errors import LostConnection
from armopt.runners.ssh.script import run_script
from armopt.runners.ssh.told import Event, Lines

if TYPE_CHECKING:
    from armopt.core.host import Host
    from armopt.runners.ssh.connection import Completed

# A connection that breaks is made again for so long, counted from the last time that the board said something.
PATIENCE_S = 30.0
_CHUNK = 1 << 16
_SPOKEN_S = 2.0
_TOUCH_S = 20.0  # a third of the time after which a lock counts as left
_MOST_BYTES = 1 << 26
_FILE_LIMIT = 1 << 30
_REFUSALS = ("disk", "os", "usage", "cut", "damaged", "gone")  # of the board's scripts themselves, not of the agent

Content = Path | bytes
_R = TypeVar("_R")


class BoardFolder:
    """armopt's folder on one board, over connections that may break. Not safe to share between threads.

    Every request can be made twice without harm, and is where the connection broke; LostConnection is raised once that
    has not helped for `PATIENCE_S`, or at once where there never was a connection. Methods raise DeviceError for what
    the board refuses.

    Args:
        host: the board.
        connect: makes a connection that is not open yet.
        say: gets a line where a connection is made again.
    """

    def __init__(self, host: Host, connect: Callable[[], Connected], say: Say) -> None:
        self.host, self._connect, self._say = host, connect, say
        self._connection: Connected | None = None
        self._was_connected = False
        self.token = uuid.uuid4().hex
        self._locked = False

    def close(self) -> None:
        """Give the lock back and disconnect; a board that can't be reached keeps a lock that grows stale."""
        try:
            if self._locked and self._connection is not None:
                self._locked = False
                self._once("lock", ["release", self.host.folder, self.token], lambda: b"", 10.0, _ignore)
        except DeviceError:
            pass
        finally:
            self.disconnect()

    def disconnect(self) -> None:
        """End the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, argv: Sequence[str], *, silence_s: float = 30.0, most_bytes: int = 1 << 20) -> Completed:
        """Run a program on the board that may run twice."""
        return self._patiently(lambda: self._connected().run(argv, silence_s=silence_s, most_bytes=most_bytes))

    @contextlib.contextmanager
    def kept_locked(self) -> Iterator[None]:
        """Meanwhile the lock is touched over a connection of its own: for work that is longer than locks live."""
        over = threading.Event()
        second = BoardFolder(self.host, self._connect, _unsaid)
        second.token = self.token

        def touch() -> None:
            while not over.wait(_TOUCH_S):
                with contextlib.suppress(DeviceError):
                    second.script("lock", ["keep", self.host.folder, self.token])

        thread = threading.Thread(target=touch, name=f"lock of {self.host.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            second.close()

    def lock(self) -> None:
        """Take the board for this process.

        Raises:
            DeviceError: somebody else has it; the line says who and since when.
        """
        if self._locked:
            return
        owner = f"{os.environ.get('USER') or os.environ.get('LOGNAME') or os.getuid()}@{socket.gethostname()}"
        mine = f"{owner} pid {os.getpid()}"
        dead = ""
        for _ in range(2):
            told = self._ask("lock", ["take", self.host.folder, self.token, mine, dead])[-1]
            if told["event"] == "taken":
                self._locked = True
                if told.get("broken"):
                    age = float(told.get("broken_age_s", 0))
                    self._say(f"{self.host.name}: broke a lock that {told['broken']} left {age:.0f} s ago")
                return
            held = str(told.get("owner", ""))[:200]
            if not held.startswith(f"{owner} pid ") or _is_running(held.rpartition(" ")[2]):
                break
            dead = str(told.get("token", ""))  # a process of this machine that is gone: its run is ours to go on with
        since = float(told.get("age_s", 0))
        raise DeviceError(
            f"{self.host.name} is used by {held or 'another'} since {since:.0f} s",
            "wait, or name another board with --host; a lock that is left grows stale in a minute",
        )

    def send(self, contents: Mapping[str, Content]) -> int:
        """Have files on the board, by checksum; returns how many bytes had to be sent (before compression).

        Args:
            contents: SHA-256 in hex -> where the content is.
        """
        names = sorted(contents)
        found = self._ask("files", ["have", self.host.folder, *names])[-1].get("found")
        missing = [name for name in names if not isinstance(found, list) or name not in found]
        if missing:
            told = self._telling_sent(sum(_size(contents[name]) for name in missing))
            self._ask("files", ["put", self.host.folder], payload=lambda: _framed(missing, contents, told))
        return sum(_size(contents[name]) for name in missing)

    def unpack(self, name: str, archives: Sequence[str]) -> bool:
        """Have the folder `runtimes/NAME`, made out of wheels on the board; False where it lacks some of those."""
        told = self._ask("files", ["unpack", self.host.folder, name, *archives], silence_s=300.0)[-1]
        return bool(told["event"] == "unpacked")

    def text(self, name: str, args: Sequence[str]) -> bytes:
        """What a script prints that tells no events."""
        return self._patiently(lambda: run_script(self._connected(), self.host, board_script(name), args)).stdout

    def start(self, run: str, spec: Mapping[str, Any]) -> None:
        """Start a run, or find it running or ended."""
        payload = json.dumps(spec).encode()
        self._ask("runs", ["start", self.host.folder, run, self.token], payload=lambda: payload)

    def follow(self, run: str, on_event: Callable[[Event], None]) -> None:
        """Tell of a run's events from the first on, until it ends or is found dead; connections may break meanwhile."""
        seen = 0

        def tell(event: Event) -> None:
            nonlocal seen
            if event["event"] not in ("alive", "dead"):
                seen += 1
            on_event(event)

        def once() -> None:
            skip = seen

            def tell_new(event: Event) -> None:
                nonlocal skip
                if skip and event["event"] not in ("alive", "dead", "error"):
                    skip -= 1
                else:
                    heard()
                    tell(event)

            self._once("runs", ["follow", self.host.folder, run, "0", self.token], lambda: b"", 20.0, tell_new)

        last_heard = time.monotonic()

        def heard() -> None:
            nonlocal last_heard
            last_heard = time.monotonic()

        self._patiently(once, lambda: last_heard)

    def fetch(self, run: str, file: str) -> bytes:
        """A file that a run left.

        Raises:
            DeviceError: what came is not what was announced.
        """
        content = b""

        def once() -> None:
            nonlocal content
            announced: dict[str, Any] = {}

            def sized(event: Event) -> int:
                announced.update(event)
                size = event.get("size")
                if event["event"] != "file" or not isinstance(size, int) or not 0 <= size < _FILE_LIMIT:
                    raise DeviceError(f"{self.host.name} does not hand over '{file}'", "run again")
                return size

            args = ["fetch", self.host.folder, run, file]
            content = self._once("runs", args, lambda: b"", 30.0, sized, most_bytes=_FILE_LIMIT)
            if hashlib.sha256(content).hexdigest() != announced.get("sha256"):
                raise LostConnection(f"{self.host.name}: '{file}' did not arrive whole", "run again")

        self._patiently(once)
        return content

    def stop(self, run: str) -> None:
        """End a run."""
        self._ask("runs", ["stop", self.host.folder, run])

    def forget(self, run: str) -> None:
        """Remove a run that has ended."""
        self._ask("runs", ["forget", self.host.folder, run])

    def script(self, name: str, args: Sequence[str], payload: bytes = b"") -> list[Event]:
        """The events of another of the board's scripts."""
        return self._ask(name, args, payload=lambda: payload)

    def _ask(
        self,
        name: str,
        args: Sequence[str],
        *,
        payload: Callable[[], bytes | Iterable[bytes]] = lambda: b"",
        silence_s: float = 30.0,
    ) -> list[Event]:
        """The events of one request; at least one."""
        told: list[Event] = []

        def once() -> None:
            told.clear()
            self._once(name, args, payload, silence_s, told.append)
            if not told:
                raise DeviceError(
                    f"{self.host.name} says nothing to '{name} {args[0]}'",
                    f"run: armopt doctor --host {self.host.name}",
                )

        self._patiently(once)
        return told

    def _once(
        self,
        name: str,
        args: Sequence[str],
        payload: Callable[[], bytes | Iterable[bytes]],
        silence_s: float,
        on_event: Callable[[Event], int | None],
        most_bytes: int = _MOST_BYTES,
    ) -> bytes:
        """Run a script once. An event for which `on_event` gives a size is followed by so many bytes: the result."""
        failed: Event | None = None

        def tell(event: Event) -> None:
            nonlocal failed
            if event["event"] == "error" and event.get("kind") in _REFUSALS:
                failed = event
            else:
                lines.expect(on_event(event) or 0)

        lines = Lines(self.host.name, tell)
        done = run_script(
            self._connected(),
            self.host,
            board_script(name),
            args,
            payload=payload(),
            silence_s=silence_s,
            most_bytes=most_bytes,
            on_stdout=lines.take,
        )
        if failed is not None:
            self._refuse(failed)
        if done.code != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
            raise DeviceError(
                f"{self.host.name}: '{name} {args[0]}' ended with code {done.code} ({last})",
                f"run: armopt doctor --host {self.host.name}",
            )
        return bytes(lines.content)

    def _telling_sent(self, size: int) -> Callable[[int], None]:
        """Tells every few seconds how much of a long transfer is done."""
        spoke = time.monotonic()

        def tell(sent: int) -> None:
            nonlocal spoke
            if time.monotonic() - spoke > _SPOKEN_S:
                spoke = time.monotonic()
                self._say(f"{self.host.name}: sent {sent / 1e6:.0f} of {size / 1e6:.0f} MB")

        return tell

    def _refuse(self, failed: Event) -> None:
        kind, text = failed["kind"], " ".join(str(failed.get("text", "")).split())[:300]
        if kind == "cut":
            raise LostConnection(f"{self.host.name}: {text}", "run again")
        mends = {
            "disk": "make room on the board, then run again: what is finished is kept",
            "damaged": "run again",
            "gone": "run again: the board's folder was cleared meanwhile",
        }
        full = "its disk is full: " if kind == "disk" else ""
        raise DeviceError(f"{self.host.name}: {full}{text}", mends.get(kind, "check the folder's rights on the board"))

    def _connected(self) -> Connected:
        if self._connection is None:
            connection = self._connect()
            connection.open()
            self._connection, self._was_connected = connection, True
        return self._connection

    def _patiently(self, request: Callable[[], _R], last_heard: Callable[[], float] | None = None) -> _R:
        """Make a request, again where the connection breaks, until `PATIENCE_S` after the board was last heard."""
        began, pause = time.monotonic(), 0.5
        while True:
            try:
                return request()
            except LostConnection as error:
                self.disconnect()
                heard = max(began, last_heard()) if last_heard else began
                if not self._was_connected or time.monotonic() + pause - heard > PATIENCE_S:
                    raise
                self._say(f"{self.host.name}: {error.what}; connecting again")
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
            except BaseException:
                self.disconnect()  # whatever it was, the channel is not in a state to go on with
                raise


def sha256_of(content: Content) -> str:
    """Checksum of bytes or of a file, in hex."""
    return hashlib.sha256(content if isinstance(content, bytes) else content.read_bytes()).hexdigest()


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _framed(names: Sequence[str], contents: Mapping[str, Content], on_sent: Callable[[int], None]) -> Iterator[bytes]:
    sent = 0
    for name in names:
        content = contents[name]
        yield json.dumps({"sha256": name, "size": _size(content)}).encode() + b"\n"
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                sent += len(chunk)
                on_sent(sent)
    yield b"\n"


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def _ignore(event: Event) -> None:
    """Nothing is made of it."""


def _unsaid(text: str) -> None:
    """Nobody is told."""

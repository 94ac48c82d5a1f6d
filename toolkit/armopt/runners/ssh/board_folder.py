"""The folder that armopt keeps on a board: files under their checksums, runtimes, runs, the lock, installed models."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.core.errors import DeviceError
from armopt.runners.base import Say
from armopt.runners.ssh.connected import Connected
from armopt.runners.ssh.errors import LostConnection
from armopt.runners.ssh.lock import Lock
from armopt.runners.ssh.requests import WITHIN_S, Requests
from armopt.runners.ssh.told import Event

if TYPE_CHECKING:
    from armopt.core.host import Host
    from armopt.runners.ssh.connection import Completed

# A run is followed by one request after the other, none of which is longer than this.
FOLLOWED_S = 240.0
_CHUNK = 1 << 16
_SPOKEN_S = 2.0
_ALIVE_S = 20.0  # without a word; the board says one every 2 s
_FOLLOWED_BYTES, _LONGEST_LOG = 1 << 26, 1 << 40
_DISK_S, _UNPACK_DISK_S = 60.0, 120.0  # silent while a slow card writes what it was given
_UNPACKED_S = 1800.0

Content = Path | bytes


class BoardFolder:
    """armopt's folder on one board, over connections that may break. Not safe to share between threads.

    Methods raise LostConnection where reconnecting does not help (`Requests`), and DeviceError for what the board
    refuses.

    Args:
        host: the board.
        connect: makes a connection that is not open yet.
        say: gets a line where a connection is made again.
    """

    def __init__(self, host: Host, connect: Callable[[], Connected], say: Say) -> None:
        self.host, self._say = host, say
        self._requests = Requests(host, connect, say)
        self._lock = Lock(host, connect, say)

    def close(self) -> None:
        """Give the lock back and disconnect; a board that can't be reached keeps a lock that grows stale."""
        try:
            self._lock.release(self._requests)
        finally:
            self.disconnect()

    def disconnect(self) -> None:
        """End the connection; the next request makes another."""
        self._requests.disconnect()

    def run(
        self,
        argv: Sequence[str],
        *,
        silence_s: float = 30.0,
        within_s: float | None = WITHIN_S,
        most_bytes: int = 1 << 20,
    ) -> Completed:
        """Run a program on the board that may run twice."""
        limits: dict[str, Any] = {"silence_s": silence_s, "within_s": within_s, "most_bytes": most_bytes}
        return self._requests.patiently(lambda: self._requests.connected().run(argv, **limits))

    def lock(self) -> None:
        """Take the board for this process, or make sure that it still has it.

        Raises:
            DeviceError: somebody else has it; the line says who and since when.
        """
        self._lock.take(self._requests)

    def send(self, contents: Mapping[str, Content]) -> int:
        """Have files on the board, by checksum; returns how many bytes had to be sent (before compression).

        Args:
            contents: SHA-256 in hex -> where the content is.
        """
        names, stored, news, sent = sorted(contents), set[str](), 0.0, 0

        def heard(event: Event) -> None:
            nonlocal news
            name = event.get("stored")
            if isinstance(name, str) and name in contents and name not in stored:
                stored.add(name)
                news = time.monotonic()

        def once() -> None:
            nonlocal sent
            arguments = ["have", self.host.folder, *names]
            found: list[Event] = []
            self._requests.once("files", arguments, found.append, silence_s=_DISK_S, within_s=_DISK_S)
            there = found[-1].get("found") if found else None
            missing = [name for name in names if not isinstance(there, list) or name not in there]
            if missing:
                size = sum(_size(contents[name]) for name in missing)
                payload = _framed(missing, contents, self._telling_sent(size))
                self._requests.once("files", ["put", self.host.folder], heard, payload=payload, silence_s=_DISK_S)
                sent += size

        self._requests.patiently(once, lambda: news)
        return sent

    def unpack(self, name: str, archives: Sequence[str]) -> bool:
        """Have the folder `runtimes/NAME`, made out of wheels on the board; False where it lacks some of those."""
        arguments = ["unpack", self.host.folder, name, *archives]
        told = self._requests.ask("files", arguments, silence_s=_UNPACK_DISK_S, within_s=_UNPACKED_S)
        return bool(told["event"] == "unpacked")

    def text(self, name: str, args: Sequence[str]) -> bytes:
        """What a script prints that tells no events."""
        return self._requests.text(name, args)

    def script(self, name: str, args: Sequence[str], payload: bytes = b"") -> Event:
        """The last event of another of the board's scripts."""
        return self._requests.ask(name, args, payload=lambda: payload, silence_s=_DISK_S)

    def start(self, run: str, spec: Mapping[str, Any]) -> None:
        """Start a run, or find it running or ended; the board has to be locked."""
        payload = json.dumps(spec).encode()
        self._requests.ask("runs", ["start", self.host.folder, run, self._lock.token], payload=lambda: payload)

    def follow(self, run: str, on_event: Callable[[Event], None]) -> None:
        """Tell of a run's events from the first on, until it ends or is found dead; connections may break meanwhile."""
        offset = seen = 0  # events after the byte `offset` that were told
        news, over = time.monotonic(), False

        def once() -> None:
            nonlocal over
            skip, told = seen, False

            def hear(event: Event) -> None:
                nonlocal offset, seen, skip, told, news, over
                kind, place = event["event"], event.get("offset")
                if kind == "alive":
                    if isinstance(place, int) and offset <= place < _LONGEST_LOG:
                        offset, seen, skip = place, 0, 0
                elif kind != "dead":
                    if skip:
                        skip -= 1
                        return
                    seen += 1
                news, told, over = time.monotonic(), True, kind in ("end", "dead")
                on_event(event)

            arguments = ["follow", self.host.folder, run, str(offset), self._lock.token, str(FOLLOWED_S)]
            limits: dict[str, Any] = {"silence_s": _ALIVE_S, "within_s": FOLLOWED_S + _ALIVE_S}
            self._requests.once("runs", arguments, hear, **limits, most_bytes=_FOLLOWED_BYTES)
            if not told:
                mend = f"run: armopt doctor --host {self.host.name}"
                raise DeviceError(f"{self.host.name} says nothing of what it does", mend)

        with self._lock.resting():
            while not over:
                self._requests.patiently(once, lambda: news)

    def fetch(self, run: str, file: str, most_bytes: int) -> bytes:
        """A file that a run left.

        Raises:
            DeviceError: it is larger than `most_bytes`, or what came is not what was announced.
        """

        def once() -> bytes:
            announced: dict[str, Any] = {}

            def sized(event: Event) -> int:
                announced.update(event)
                size = event.get("size")
                if event["event"] != "file" or not isinstance(size, int) or not 0 <= size <= most_bytes:
                    raise DeviceError(f"{self.host.name} does not hand over '{file}'", "run again")
                return size

            arguments = ["fetch", self.host.folder, run, file]
            content = self._requests.once("runs", arguments, sized, most_bytes=most_bytes + _CHUNK)
            if hashlib.sha256(content).hexdigest() != announced.get("sha256"):
                raise LostConnection(f"{self.host.name}: '{file}' did not arrive whole", "run again")
            return content

        return self._requests.patiently(once)

    def stop(self, run: str, *, at_once: bool = False) -> None:
        """End a run; `at_once`: or leave it where the connection breaks."""
        arguments = ["stop", self.host.folder, run]
        if at_once:
            try:
                self._requests.once("runs", arguments, _ignore)
            except LostConnection:
                self._requests.lost = True
                raise
        else:
            self._requests.ask("runs", arguments)

    def forget(self, run: str) -> None:
        """Remove a run that has ended."""
        self._requests.ask("runs", ["forget", self.host.folder, run])

    def _telling_sent(self, size: int) -> Callable[[int], None]:
        """Tells every few seconds how much of a long transfer is done."""
        spoke = time.monotonic()

        def tell(sent: int) -> None:
            nonlocal spoke
            if time.monotonic() - spoke > _SPOKEN_S:
                spoke = time.monotonic()
                self._say(f"{self.host.name}: sent {sent / 1e6:.0f} of {size / 1e6:.0f} MB")

        return tell


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


def _ignore(event: Event) -> None:
    """Nothing is made of it."""

"""A TCP relay between a client and a real server, that breaks connections the way networks do.

with Relay(server.port, cut_after=5000) as relay:   # connect to relay.port
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

_CHUNK = 1 << 14
_BURST_S, _LATE_S = 0.02, 0.1  # of a limited rate go at once


class Relay:
    """Accepts on loopback and carries every connection to `port` of loopback.

    Args:
        port: the real server's.
        cut_after: break each connection after exactly so many bytes in both directions together; None: never.
        cuts: of the connections only so many are broken, the first ones; None: all.
        stall: do not break it then, but carry nothing any more and keep it open: a host that was switched off.
        bytes_per_s: carry no more than that, each way and in all connections together; None: as fast as it goes.

    Attributes:
        port: where it listens.
        carried: bytes of all connections until now, both directions.
        connections: so many were made until now.
    """

    def __init__(
        self,
        port: int,
        *,
        cut_after: int | None = None,
        cuts: int | None = None,
        stall: bool = False,
        bytes_per_s: float | None = None,
    ) -> None:
        self._target, self.cut_after, self.cuts, self.stall = port, cut_after, cuts, stall
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.carried = self.connections = 0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._left: list[list[int | None]] = []
        self._ways = tuple(_Way(bytes_per_s) for _ in range(2))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        for one in (self._listener, *self._sockets):
            _close(one)

    def freeze(self, *, for_good: bool) -> None:
        """Carry nothing any more in the connections that there are; `for_good`: nor in new ones."""
        with self._lock:
            self.stall, self.cut_after, self.cuts = True, 0, None if for_good else 0
            for left in self._left:
                left[0] = 0

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self.connections += 1
                is_cut = self.cuts is None or self.connections <= self.cuts
                left = [self.cut_after if is_cut else None]
                self._left.append(left)
                for source, sink, way in zip((client, server), (server, client), self._ways, strict=True):
                    threading.Thread(target=self._carry, args=(source, sink, way, left), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, way: _Way, left: list[int | None]) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(way.chunk):
                with self._lock:
                    if left[0] is not None:
                        chunk = chunk[: left[0]]
                        left[0] -= len(chunk)
                    self.carried += len(chunk)
                way.wait(len(chunk))
                sink.sendall(chunk)
                if left[0] == 0:
                    if self.stall:
                        return
                    break
        if not (self.stall and left[0] == 0):
            _close(source)
            _close(sink)


class _Way:
    """One direction of a link, which all connections share."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self._bytes_per_s, self._free_at, self._lock = bytes_per_s, 0.0, threading.Lock()
        self.chunk = _CHUNK if bytes_per_s is None else max(1, min(_CHUNK, round(_BURST_S * bytes_per_s)))

    def wait(self, size: int) -> None:
        """Wait as long as so many bytes take."""
        if self._bytes_per_s is not None:
            with self._lock:
                # A thread that was woken late catches up, as bits on a wire do not wait for it.
                self._free_at = max(self._free_at, time.monotonic() - _LATE_S) + size / self._bytes_per_s
                end = self._free_at
            time.sleep(max(0.0, end - time.monotonic()))


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()

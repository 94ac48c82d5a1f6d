"""A TCP relay between a client and a real server, that breaks connections the way networks do.

with Relay(server.port, cut_after=5000) as relay:   # connect to relay.port
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

_CHUNK = 1 << 14


class Relay:
    """Accepts on loopback and carries every connection to `port` of loopback.

    Args:
        port: the real server's.
        cut_after: break each connection after exactly so many bytes in both directions together; None: never.
        stall: do not break it then, but carry nothing any more and keep it open: a host that was switched off.

    Attributes:
        port: where it listens.
        carried: bytes of all connections until now, both directions.
    """

    def __init__(self, port: int, *, cut_after: int | None = None, stall: bool = False) -> None:
        self._target, self.cut_after, self.stall = port, cut_after, stall
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.carried = 0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        for one in (self._listener, *self._sockets):
            _close(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                left = [self.cut_after]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(source, sink, left), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, left: list[int | None]) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                with self._lock:
                    if left[0] is not None:
                        chunk = chunk[: left[0]]
                        left[0] -= len(chunk)
                    self.carried += len(chunk)
                sink.sendall(chunk)
                if left[0] == 0:
                    if self.stall:
                        return
                    break
        if not (self.stall and left[0] == 0):
            _close(source)
            _close(sink)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()

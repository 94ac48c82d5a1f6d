"""What runs programs on a board: a connection over SSH, or this machine itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from armopt.runners.ssh.connection import Completed


class Connected(Protocol):
    """What `connection.Connection` and `here.HereConnection` offer."""

    def open(self) -> None:
        """Connect."""

    def close(self) -> None:
        """Disconnect; calling it again does nothing."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | Iterable[bytes] = b"",
        silence_s: float = 30.0,
        within_s: float | None = None,
        most_bytes: int = 1 << 20,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run a program and wait for its end. With `on_stdout`, output goes there and is not kept."""
        ...

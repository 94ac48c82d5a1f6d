"""One connection to a board: opened strictly, used by one thread at a time, closed after any error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Self

from armopt.core.host import Host
from armopt.runners.ssh.command import Completed, run_command
from armopt.runners.ssh.destination import resolve
from armopt.runners.ssh.errors import LostConnection
from armopt.runners.ssh.host_keys import check, look_up
from armopt.runners.ssh.link import Limits, Link, open_link
from armopt.runners.ssh.login import log_in
from armopt.runners.ssh.quoting import quoted

if TYPE_CHECKING:
    from armopt.runners.base import Say

__all__ = ["Completed", "Connection", "Limits"]

# Often enough for routers that forget an idle connection after a minute.
_KEEPALIVE_S = 15


class Connection:
    """A connection to a board, to be opened before use; also a context manager that opens and closes it.

    Data is compressed on the way where the board's sshd permits it.

    Args:
        host: the board.
        say: gets remarks.
        limits: how long the board may take to connect and to answer.
    """

    def __init__(self, host: Host, *, say: Say, limits: Limits | None = None) -> None:
        self.host = host
        self._say = say
        self._limits = limits or Limits()
        self._link: Link | None = None

    def open(self) -> None:
        """Connect, check the host key, log in; does nothing if that is done.

        Raises:
            UsageError: the destination can't be resolved.
            LostConnection: the board can't be reached, or did not answer in time.
            HostKeyRefused: its host key is unknown, changed or revoked.
            LoginRefused: it takes none of the keys.
        """
        if self._link is not None:
            return
        destination = resolve(self.host)
        if destination.note:
            self._say(f"{self.host.place}: {destination.note}")
        recorded = look_up(destination)
        link = open_link(self.host, destination, recorded.kinds, self._limits)
        try:
            check(self.host, link.host_key, recorded)
            log_in(link.transport, self.host, destination, self._limits.answer_s)
            link.transport.set_keepalive(_KEEPALIVE_S)
        except BaseException:
            link.close()
            raise
        self._link = link

    def close(self) -> None:
        """Give the connection back. Never raises, and may be called again."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

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
        """Run a command of the board and wait for its end.

        Args:
            argv: the command and its arguments, as they are: they are quoted here.
            stdin: what it reads; chunks are taken in another thread, while output comes in. What the command does not
                read is not an error.
            silence_s: it counts as lost when for so long no byte goes either way.
            within_s: and when it is not done within so long, and a second more for every 10 kB that stdin and
                stdout carry; None: no such limit.
            most_bytes: more output than this is an error. Of stderr 64 KiB are kept, and it may be as long as that in
                addition.
            on_stdout: gets stdout chunk by chunk as it comes; `Completed.stdout` is empty then.

        Raises:
            LostConnection: the connection broke or is not open, or the board took too long.
            DeviceError: it wrote too much, or refuses to run commands.

        After any error, of `stdin` and `on_stdout` too, the connection is closed.
        """
        command = quoted(argv).encode("utf-8", "surrogateescape")
        if self._link is None:
            raise LostConnection(f"{self.host.place}: not connected", "try again")
        try:
            return run_command(
                self._link,
                self.host,
                command,
                stdin=(stdin,) if isinstance(stdin, bytes) else stdin,
                silence_s=silence_s,
                within_s=within_s,
                most_bytes=most_bytes,
                on_stdout=on_stdout,
                answer_s=self._limits.answer_s,
            )
        except BaseException:
            self.close()
            raise

"""A transport between this machine and a board: keys are exchanged, nothing is trusted yet, nobody is logged in."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armopt.core.host import Host
from armopt.runners.ssh.destination import Destination
from armopt.runners.ssh.dialing import Proxy, dial
from armopt.runners.ssh.errors import LostConnection, reason
from armopt.runners.ssh.known_hosts import fingerprint

if TYPE_CHECKING:
    from paramiko import Transport

# An RSA key signs by either of these; ssh-rsa names the key, and a signature by SHA-1 that nobody takes any more.
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")


@dataclass(frozen=True)
class Limits:
    """Seconds that a board may take.

    Attributes:
        connect_s: to accept a connection, its name's look-up included; None: ssh's ConnectTimeout, or 10 s.
        answer_s: for the handshake, for logging in, and for starting a command, each.
    """

    connect_s: float | None = None
    answer_s: float = 15.0

    def connecting_s(self, destination: Destination) -> float:
        """The limit on connecting to that destination."""
        return self.connect_s or destination.connect_s or 10.0


@dataclass(frozen=True)
class HostKey:
    """A host key that a board showed; `blob` is its wire form."""

    kind: str
    blob: bytes
    bits: int

    @property
    def fingerprint(self) -> str:
        """As ssh shows it: SHA256:..."""
        return fingerprint(self.blob)

    @property
    def title(self) -> str:
        """Length, fingerprint and type, as `ssh-keygen -l` writes them."""
        kind = self.kind.removeprefix("ssh-").partition("-")[0].upper()
        return f"{self.bits} {self.fingerprint} ({kind})"


@dataclass(frozen=True)
class Link:
    """What `open_link` made."""

    transport: Transport
    sock: socket.socket
    proxy: Proxy | None
    host_key: HostKey

    def close(self) -> None:
        """End it, whatever state it is in."""
        _end(self.transport, self.sock, self.proxy)


def open_link(host: Host, destination: Destination, kinds: Sequence[str], limits: Limits) -> Link:
    """Connect and exchange keys. The host's own key is *not* checked.

    Args:
        host: for messages.
        destination: where it is.
        kinds: types of host key that are recorded for it; the board is asked for one of these first.
        limits: how long it may take.

    Raises:
        LostConnection: the board can't be reached, is no SSH server, or did not answer in time.
    """
    import paramiko

    _silence()
    sock, proxy = dial(host, destination, limits.connecting_s(destination))
    transport = None
    try:
        transport = paramiko.Transport(sock)
        transport.use_compression(True)
        _prefer(transport, kinds)
        transport.banner_timeout = transport.handshake_timeout = limits.answer_s
        done = threading.Event()
        transport.start_client(event=done)
        in_time = done.wait(limits.answer_s)
        if not in_time or not transport.is_active():
            raise _no_handshake(host, transport, proxy, None if in_time else limits.answer_s)
        key = transport.get_remote_server_key()
        return Link(transport, sock, proxy, HostKey(key.get_name(), key.asbytes(), key.get_bits()))
    except BaseException:
        _end(transport, sock, proxy)
        raise


@contextlib.contextmanager
def closes_after(link: Link, limit_s: float) -> Iterator[threading.Event]:
    """Close the link if the block takes longer, which ends whatever waits for the board in it; the event says so."""
    late = threading.Event()

    def close() -> None:
        late.set()
        link.transport.close()

    timer = threading.Timer(limit_s, close)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _prefer(transport: Transport, kinds: Sequence[str]) -> None:
    """Ask for the recorded types first, or a host known by its RSA key shows another one and looks unknown."""
    options = transport.get_security_options()
    offered = list(options.key_types)
    wanted = [name for kind in kinds for name in (_RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,))]
    first = [name for name in dict.fromkeys(wanted) if name in offered]
    options.key_types = [*first, *(name for name in offered if name not in first)]


def _no_handshake(host: Host, transport: Transport, proxy: Proxy | None, limit_s: float | None) -> LostConnection:
    if limit_s is not None:
        return LostConnection(f"{host.place}: no SSH handshake within {limit_s:g} s", "see whether it hangs, or wait")
    error = transport.get_exception()
    if proxy is not None:
        told = proxy.last_words()
        return LostConnection(f"{host.place}: no connection through the proxy: {told}", f"try: ssh {host.ssh}")
    if error is None or isinstance(error, (EOFError, OSError)):
        return LostConnection(f"{host.place}: the connection broke in the handshake", "see sshd's log there, or wait")
    return LostConnection(f"{host.place}: no SSH handshake: {reason(error)}", "see that an SSH server is on that port")


def _end(transport: Transport | None, sock: socket.socket, proxy: Proxy | None) -> None:
    # Each of them may be broken in its own way, and nobody waits for what they say.
    with contextlib.suppress(Exception):
        if transport is not None:
            transport.close()
    with contextlib.suppress(Exception):
        sock.close()
    with contextlib.suppress(Exception):
        if proxy is not None:
            proxy.close()


def _silence() -> None:
    """Keep paramiko's log off stderr, where Python prints warnings that have no handler: our errors say it better."""
    logger = logging.getLogger("paramiko")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())

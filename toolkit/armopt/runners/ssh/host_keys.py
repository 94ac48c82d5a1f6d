"""Is that the board it was? Host keys are checked strictly: unknown, changed and revoked ones are refused.

Keys are looked up in armopt's own file and in ssh's files. What armopt's own file records for a host decides alone, so
that a key trusted anew is not held against an old one in ssh's files, which are the user's and never written.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from armopt.catalog.hosts import known_hosts_file
from armopt.catalog.private_file import sole_writer, write_private
from armopt.core.errors import StoreError
from armopt.core.host import Host
from armopt.runners.ssh.destination import Destination, resolve
from armopt.runners.ssh.errors import HostKeyRefused
from armopt.runners.ssh.known_hosts import RecordedKey, host_name, recorded_keys, without
from armopt.runners.ssh.link import HostKey, Limits, open_link


@dataclass(frozen=True)
class Recorded:
    """What is recorded of one host: the keys that it may show, and those that it must not."""

    good: tuple[RecordedKey, ...]
    revoked: tuple[RecordedKey, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of its keys."""
        return tuple(dict.fromkeys(key.kind for key in self.good))

    def holds(self, key: HostKey) -> bool:
        """Whether it may show that key, unless that is revoked."""
        return any(known.blob == key.blob for known in self.good)

    def after_trusting(self, key: HostKey) -> Recorded:
        """What it would be with that key alone among those that it may show."""
        return Recorded((RecordedKey(key.kind, key.blob, False, ""),), self.revoked)


def look_up(destination: Destination) -> Recorded:
    """What armopt's file and ssh's files record of the host."""
    name = host_name(destination.hostname, destination.port, destination.host_key_alias)
    own, theirs = recorded_keys([known_hosts_file()], name), recorded_keys(destination.known_hosts, name)
    good = [key for key in own if not key.revoked] or [key for key in theirs if not key.revoked]
    return Recorded(tuple(good), tuple(key for key in (*own, *theirs) if key.revoked))


def check(host: Host, key: HostKey, recorded: Recorded) -> None:
    """Return if the key is recorded for the host.

    Raises:
        HostKeyRefused: it is unknown, not the one that is recorded, or revoked.
    """
    for bad in recorded.revoked:
        if bad.blob == key.blob:
            raise HostKeyRefused(
                f"{host.place}: its host key {key.fingerprint} is revoked ({bad.source})", "don't log in; ask its owner"
            )
    if recorded.holds(key):
        return
    if not recorded.good:
        raise HostKeyRefused(
            f"{host.place}: its host key is not known: {key.title}",
            f"compare it with the board's own, then run: armopt hosts trust {host.name}",
        )
    old = next((good for good in recorded.good if good.kind == key.kind), recorded.good[0])
    raise HostKeyRefused(
        f"{host.place}: its host key has changed: it shows {key.title}, recorded is {old.fingerprint} ({old.source}); "
        "this may be an attack, or the board was installed anew",
        f"if you know that it was, run: armopt hosts trust {host.name} --replace",
    )


def fetch_key(host: Host, *, limits: Limits | None = None) -> HostKey:
    """The key that the host shows, without logging in; it is not checked.

    Raises:
        UsageError: its destination can't be resolved.
        LostConnection: it can't be reached.
    """
    destination = resolve(host)
    link = open_link(host, destination, look_up(destination).kinds, limits or Limits())
    link.close()
    return link.host_key


def trust(host: Host, key: HostKey, *, replace: bool = False) -> bool:
    """Record the key in armopt's own file; whether it was not recorded yet. ssh's own files are never written.

    Args:
        host: whose it is.
        key: what `fetch_key` brought and the user confirmed.
        replace: forget what armopt's file records for the host until now.

    Raises:
        HostKeyRefused: the key is revoked, or another one is recorded and `replace` is not set.
        StoreError: the file can't be written.
    """
    destination = resolve(host)
    name = host_name(destination.hostname, destination.port, destination.host_key_alias)
    path = known_hosts_file()
    with sole_writer(path):
        recorded = look_up(destination)
        if recorded.good and not replace:
            check(host, key, recorded)
            return False
        check(host, key, recorded.after_trusting(key))
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{path}: can't be read ({error})", "permit it, or remove the file") from error
        lines = [*without(lines, name), f"{name} {key.kind} {base64.b64encode(key.blob).decode()}"]
        write_private(path, "\n".join(lines) + "\n")
    return not recorded.holds(key)

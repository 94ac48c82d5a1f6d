"""The virtual board's two keys, the one that it shows and the one that logs in: made once, so they stay the same."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armopt.runners.ssh.link import HostKey


@dataclass(frozen=True)
class KeyPair:
    """A private key (0600), and the public one beside it."""

    private: Path

    @property
    def public(self) -> Path:
        """The line that goes into authorized_keys."""
        return self.private.with_name(self.private.name + ".pub")

    def as_host_key(self) -> HostKey:
        """What a board that has this key shows."""
        from armopt.runners.ssh.link import HostKey

        kind, blob = self.public.read_text(encoding="ascii").split()
        return HostKey(kind, base64.b64decode(blob), _BITS)


_BITS = 256


def ensure_key(path: Path) -> KeyPair:
    """The key pair at `path`, made if it is not there whole."""
    pair = KeyPair(path)
    if pair.private.is_file() and pair.public.is_file():
        return pair
    import paramiko

    # ECDSA is what paramiko can make; the curve is NIST P-256.
    key = paramiko.ECDSAKey.generate(bits=_BITS)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        key.write_private_key(file)
    fresh.replace(pair.private)
    pair.public.write_text(f"{key.get_name()} {key.get_base64()}\n", encoding="ascii")
    return pair

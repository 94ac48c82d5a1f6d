"""Logs in to a board by the keys of an agent and by key files, never by a password."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from armopt.core.host import Host
from armopt.runners.ssh.destination import Destination
from armopt.runners.ssh.errors import LoginRefused, LostConnection, reason

if TYPE_CHECKING:
    from paramiko import PKey, Transport

    from armopt.runners.ssh.ssh_agent import Agent

# sshd closes the connection after so many keys (MaxAuthTries is 6); fewer refused ones and a cut are a cut.
_MANY_KEYS = 3


@dataclass
class _Keys:
    """What there is to offer, and what there would be if it were not locked."""

    found: list[tuple[str, PKey]] = field(default_factory=list)
    locked: list[Path] = field(default_factory=list)


def log_in(transport: Transport, host: Host, destination: Destination, limit_s: float) -> None:
    """Log in with the first key that the board takes.

    Keys of the agent that are named as identities come first, then key files, then the agent's others: a server
    closes the connection after a few keys that it does not take.

    Raises:
        LoginRefused: it takes none, or wants more than a key.
        LostConnection: the connection broke, or the board did not answer within `limit_s` in all.
    """
    import paramiko

    from armopt.runners.ssh.ssh_agent import find_agent

    end = time.monotonic() + limit_s
    agent = find_agent(destination.identity_agent, limit_s)
    refused: list[str] = []
    try:
        keys = _keys(destination, agent)
        for name, key in keys.found:
            transport.auth_timeout = max(0.1, end - time.monotonic())
            try:
                wanted = transport.auth_publickey(destination.user, key)
            except paramiko.BadAuthenticationType as error:
                raise LoginRefused(
                    f"{host.place}: takes no keys, only: {reason(', '.join(error.allowed_types))}",
                    "permit PubkeyAuthentication in its sshd_config; armopt uses no passwords",
                ) from error
            except Exception as error:  # whatever paramiko's thread met in what the board or the agent said
                if time.monotonic() >= end:
                    raise LostConnection(
                        f"{host.place}: no login within {limit_s:g} s", "see whether it hangs"
                    ) from error
                if not (isinstance(error, paramiko.AuthenticationException) and transport.is_active()):
                    raise _broken(host, refused, agent) from error
                refused.append(name)
                continue
            if wanted:
                raise LoginRefused(
                    f"{host.place}: wants more than a key: {reason(', '.join(wanted))}", "permit login by a key alone"
                )
            return
    finally:
        if agent is not None:
            agent.close()
    raise _none_taken(host, destination, refused, keys)


def _broken(host: Host, refused: list[str], agent: Agent | None) -> LostConnection | LoginRefused:
    if agent is not None and agent.failed:
        return LoginRefused(f"{host.place}: the ssh agent did not sign", "confirm it there, or see ssh-add -l")
    if len(refused) >= _MANY_KEYS:
        return LoginRefused(
            f"{host.place}: closed the connection after {len(refused) + 1} keys, from {refused[0]} on",
            "name the right one in your ssh config: IdentityFile, and IdentitiesOnly yes",
        )
    return LostConnection(f"{host.place}: the connection broke in the login", "see sshd's log there, or wait")


def _none_taken(host: Host, destination: Destination, refused: list[str], keys: _Keys) -> LoginRefused:
    user = destination.user
    if keys.locked:
        tried = f" and refuses {', '.join(refused)}" if refused else ""
        return LoginRefused(
            f"{host.place}: {keys.locked[0]} is locked by a passphrase{tried}", f"run: ssh-add {keys.locked[0]}"
        )
    if refused:
        return LoginRefused(
            f"{host.place}: refuses to log {user} in by {', '.join(refused)}",
            f"put your key there (ssh-copy-id {host.ssh}), or correct the user",
        )
    return LoginRefused(
        f"{host.place}: there is no key to log in with",
        f"make one (ssh-keygen) and put it there (ssh-copy-id {host.ssh})",
    )


def _keys(destination: Destination, agent: Agent | None) -> _Keys:
    """All keys to offer, in their order, each once."""
    keys = _Keys()
    held = {key.asbytes(): key for key in (agent.get_keys() if agent is not None else ())}
    named = {path: _public_blob(path) for path in dict.fromkeys(destination.identity_files)}
    offered = {blob: held.pop(blob) for blob in named.values() if blob in held}
    keys.found += [(f"agent key {key.fingerprint}", key) for key in offered.values()]
    for path, blob in named.items():
        for key in _load(path, keys.locked) if path.is_file() and blob not in offered else ():
            held.pop(key.asbytes(), None)
            keys.found.append((str(path), key))
    if not destination.identities_only:
        keys.found += [(f"agent key {key.fingerprint}", key) for key in held.values()]
    return keys


def _load(path: Path, locked: list[Path]) -> Iterator[PKey]:
    """The file's key: with the certificate beside it where there is one, then by itself."""
    import paramiko

    try:
        key = paramiko.PKey.from_path(path)
    except (TypeError, paramiko.PasswordRequiredException):  # what cryptography raises for a missing passphrase
        locked.append(path)
        return
    except Exception:  # a public key, no key, a type that paramiko does not know: ssh skips them, too
        return
    if key.public_blob is not None:
        yield key
        key = paramiko.PKey.from_path(path)
        key.public_blob = None
    yield key


def _public_blob(path: Path) -> bytes | None:
    """The public key that lies beside a key file, or is the file: an IdentityFile may name a key of the agent so."""
    for file in (path.with_name(path.name + ".pub"), path):
        try:
            words = file.read_text(encoding="ascii").split(maxsplit=2)
            return base64.b64decode(words[1], validate=True)
        except (OSError, UnicodeDecodeError, IndexError, binascii.Error):
            continue
    return None

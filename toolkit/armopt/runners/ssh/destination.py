"""Where a host is and how it is reached, as `ssh` itself would: `ssh -G` reads ~/.ssh/config with all that is in it."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from armopt.core.errors import UsageError
from armopt.core.host import Host
from armopt.runners.ssh.errors import reason

# `Match exec` in the user's configuration may run programs.
_RESOLVE_S = 15.0
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}


@dataclass(frozen=True)
class Destination:
    """What there is to know before connecting.

    Attributes:
        hostname: name or address.
        identity_agent: the agent's socket; "" for none, None for the one of the environment.
        identities_only: offer no keys but those of `identity_files`.
        host_key_alias: the name under which the host's key is recorded, where that is not its own.
        known_hosts: files of ssh's that record host keys; some may not be there.
        proxy: a command that carries the connection over its stdin and stdout, empty for a direct one.
        connect_s: limit on connecting, where the user's configuration sets one.
        note: what the user should know of how this was found.
    """

    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    identity_agent: str | None = None
    identities_only: bool = False
    host_key_alias: str = ""
    known_hosts: tuple[Path, ...] = ()
    proxy: tuple[str, ...] = ()
    connect_s: float | None = None
    family: socket.AddressFamily = socket.AF_UNSPEC
    note: str = ""


def resolve(host: Host) -> Destination:
    """The host's destination. `ARMOPT_SSH_CONFIG` names another file than ~/.ssh/config, as `ssh -F` does.

    A host that names a private key of its own is offered that one alone.

    Raises:
        UsageError: the destination can't be read, or ssh refuses it or its own configuration.
    """
    found = _find(host)
    if host.identity is None:
        return found
    return replace(found, identity_files=(Path(host.identity).expanduser(),), identities_only=True)


def _find(host: Host) -> Destination:
    user, name, port = _split(host.ssh)
    if not name or name.startswith("-"):
        raise UsageError(f"{host.place}: no such destination", "register it anew: armopt hosts add --replace")
    ssh = shutil.which("ssh")
    if ssh is None:
        return _plain(user, name, port)
    config = os.environ.get("ARMOPT_SSH_CONFIG", "")
    common = [ssh, *(("-F", config) if config else ())]
    named = [*(("-l", user) if user else ()), *(("-p", str(port)) if port else ()), "--", name]
    try:
        asked = subprocess.run(
            [*common, "-G", "-T", *named],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_RESOLVE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"{host.place}: ssh -G did not answer in {_RESOLVE_S:.0f} s", "look at Match exec in your ssh config"
        ) from error
    except OSError as error:
        raise UsageError(f"{ssh}: can't be run ({error.strerror})", "permit it, or install OpenSSH's client") from error
    if asked.returncode != 0:
        told = reason(asked.stderr.decode(errors="replace"))
        raise UsageError(f"{host.place}: ssh refuses it: {told}", "correct it there, or register it anew")
    return _read(name, asked.stdout.decode(errors="surrogateescape"), common)


def _split(text: str) -> tuple[str, str, int]:
    """User ("" if absent), host and port (0) of user@host, user@host:port, user@[IPv6]:port, also behind ssh://."""
    user, _, place = text.removeprefix("ssh://").rstrip("/").rpartition("@")
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?", place)
    plain = re.fullmatch(r"([^:]*):([0-9]{1,5})", place)  # more colons are an IPv6 address
    found = bracketed or plain
    return (user, found[1], int(found[2] or 0)) if found else (user, place, 0)


def _read(name: str, told: str, ssh: Sequence[str]) -> Destination:
    values: dict[str, list[str]] = {}
    for line in told.splitlines():
        key, _, value = line.partition(" ")
        values.setdefault(key.lower(), []).append(value.strip())

    def one(key: str, default: str = "") -> str:
        return values.get(key, [default])[0]

    hostname, port, user = one("hostname", name), int(one("port", "22")), one("user") or getpass.getuser()
    alias = one("hostkeyalias")
    tokens = {
        "%": "%", "h": hostname, "n": name, "p": str(port), "r": user, "k": alias or name, "d": str(_home()),
        "u": getpass.getuser(), "l": socket.gethostname(), "L": socket.gethostname().partition(".")[0],
        "i": str(os.getuid()) if hasattr(os, "getuid") else "",
    }  # fmt: skip
    connect = one("connecttimeout")
    return Destination(
        hostname=hostname,
        port=port,
        user=user,
        identity_files=tuple(_path(_filled(path, tokens)) for path in values.get("identityfile", ())),
        identity_agent=_agent(one("identityagent"), tokens),
        identities_only=one("identitiesonly") in ("yes", "true"),
        host_key_alias=alias,
        known_hosts=(*_files(one("userknownhostsfile")), *_files(one("globalknownhostsfile"))),
        proxy=_proxy(one("proxycommand"), one("proxyjump"), tokens, ssh),
        connect_s=float(connect) if connect.isdigit() and int(connect) else None,
        family=_FAMILIES.get(one("addressfamily"), socket.AF_UNSPEC),
    )


def _filled(text: str, tokens: Mapping[str, str]) -> str:
    """The text with ssh's %-tokens (TOKENS in ssh_config(5)) and ${VARIABLES}; unknown ones stay as they are."""
    text = re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], match[0]), text)
    return re.sub(r"%(.)", lambda match: tokens.get(match[1], match[0]), text)


def _agent(told: str, tokens: Mapping[str, str]) -> str | None:
    if told in ("", "SSH_AUTH_SOCK"):
        return None
    if told == "none":
        return ""
    if told.startswith("$") and not told.startswith("${"):
        return os.environ.get(told[1:], "")
    return str(_path(_filled(told, tokens)))


def _files(told: str) -> list[Path]:
    """The files of a line that `ssh -G` prints without quotes: one with spaces in its name, or several."""
    whole = _path(told)
    return [whole] if whole.is_file() else [_path(word) for word in told.split() if word != "none"]


def _path(text: str) -> Path:
    return _home() / text[2:] if text.startswith("~/") else Path(text).expanduser()


def _home() -> Path:
    """What ssh takes for the home: the user database's, whatever HOME says."""
    try:
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except (ImportError, KeyError):
        return Path.home()


def _proxy(command: str, jump: str, tokens: Mapping[str, str], ssh: Sequence[str]) -> tuple[str, ...]:
    if jump and jump != "none":
        # What ssh makes of ProxyJump itself: the last jump is logged in to, through those before it.
        before, _, last = jump.rpartition(",")
        user, name, port = _split(last)
        place = f"[{tokens['h']}]:{tokens['p']}"
        through = (
            (("-J", before) if before else ()) + (("-l", user) if user else ()) + (("-p", str(port)) if port else ())
        )
        return (*ssh, "-o", "BatchMode=yes", "-W", place, *through, "--", name)
    if not command or command == "none":
        return ()
    # ssh gives it to the user's shell. The names put into it can't harm: a Host holds no character that a shell reads.
    shell = os.environ.get("SHELL") or "/bin/sh"
    return (shell, "-c", f"exec {_filled(command, tokens)}")


def _plain(user: str, name: str, port: int) -> Destination:
    home = _home() / ".ssh"
    return Destination(
        hostname=name,
        port=port or 22,
        user=user or getpass.getuser(),
        identity_files=tuple(home / key for key in ("id_ed25519", "id_ecdsa", "id_rsa")),
        known_hosts=(home / "known_hosts", Path("/etc/ssh/ssh_known_hosts")),
        note="there is no ssh program here, so ~/.ssh/config is not read",
    )

"""A board of the user's own: where it is, what kind it is, and what armopt uses on it."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from armopt.core.record import Record

HOST_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
# What OpenSSH itself refuses in a host's name since CVE-2023-51385: a ProxyCommand or a `Match exec` of the user's
# configuration may put the name into a command of a shell.
_SHELL_CHARACTERS = set("'`\"$\\;&<>|(){}*?!#,^~")


def _destination(text: str) -> str:
    rest = text.removeprefix("ssh://")
    user, at, place = rest.rpartition("@")
    if not place or place.startswith("-") or rest.startswith("-"):
        raise ValueError("is no destination; write it as user@host, or name a Host of ~/.ssh/config")
    if any(character.isspace() or character in _SHELL_CHARACTERS or _unseen(character) for character in text):
        raise ValueError("has a character that no host has; write it as user@host, or name a Host of ~/.ssh/config")
    if at and text != rest and ":" in user:
        raise ValueError("holds a password; leave it out and log in with a key (ssh-copy-id)")
    return text


def _command(text: str) -> str:
    if text.startswith("-") or any(_unseen(character) for character in text):
        raise ValueError("is no command; name the interpreter, for example python3 or /usr/bin/python3.11")
    return text


def _folder(text: str) -> str:
    parts = [part for part in text.split("/") if part]
    if not parts or ".." in parts or "." in parts or text.startswith("~") or any(map(_unseen, text)):
        raise ValueError("is no folder of its own; name one relative to the login's home, without '.', '..' and '~'")
    return text


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


class HostEntry(Record):
    """What the user's `hosts.toml` says of one board, under its name."""

    device: str = Field(min_length=1, max_length=64, description="kind of the board; see armopt devices")
    ssh: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_destination)] = Field(
        description="destination as ssh takes it: user@host, a Host of ~/.ssh/config, ssh://user@host:port"
    )
    python: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_command)] = Field(
        default="python3", description="interpreter on the board: a name in its PATH, or a path"
    )
    folder: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_folder)] = Field(
        default=".armopt", description="armopt's folder on the board, relative to the login's home"
    )
    identity: Annotated[str | None, Field(min_length=1, max_length=4096)] = Field(
        default=None, description="private key to log in with, and with no other; None: those that ssh would take"
    )


class Host(HostEntry):
    """A registered board."""

    name: str = Field(description="what the user calls it: --host NAME")

    @property
    def place(self) -> str:
        """How a message names the board: its name and, where that differs, its destination."""
        return f"host {self.name}" if self.ssh == self.name else f"host {self.name} ({self.ssh})"


def is_host_name(name: str) -> bool:
    """Whether a board may be called that: letters, digits, '.', '_' and '-', 64 at most, the first no sign."""
    return re.fullmatch(HOST_NAME, name) is not None

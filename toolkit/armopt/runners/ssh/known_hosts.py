"""Reads known-hosts files as OpenSSH does (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): patterns, hashed names, @revoked.

paramiko's own reader knows neither patterns nor markers, and takes the merge of all files for one.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RecordedKey:
    """A host key that a file records; `blob` is its wire form, `source` the file and line."""

    kind: str
    blob: bytes
    revoked: bool
    source: str

    @property
    def fingerprint(self) -> str:
        """As ssh shows it: SHA256:..."""
        return fingerprint(self.blob)


@dataclass(frozen=True)
class Line:
    """A line of the file that records a key, for the hosts that `hosts` matches."""

    marker: str
    hosts: str
    kind: str
    blob: bytes


def fingerprint(blob: bytes) -> str:
    """A key's fingerprint as ssh shows it: SHA256 in base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def host_name(hostname: str, port: int, alias: str = "") -> str:
    """The name under which ssh records a host's key: its alias, host, or [host]:port where the port is not 22."""
    return (alias or (hostname if port == 22 else f"[{hostname}]:{port}")).lower()


def recorded_keys(files: Iterable[Path], name: str) -> list[RecordedKey]:
    """The keys that the files record for `name`, in their order. A file that can't be read records none."""
    found = []
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for number, text in enumerate(lines, 1):
            line = parse_line(text)
            if line is not None and line.marker != "@cert-authority" and matches(line.hosts, name):
                found.append(RecordedKey(line.kind, line.blob, line.marker == "@revoked", f"{path}:{number}"))
    return found


def parse_line(text: str) -> Line | None:
    """The line's parts; None for a comment and for what is no line of the format."""
    fields = text.split()
    marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#"):
        return None
    hosts, kind, key = fields[:3]
    try:
        blob = base64.b64decode(key, validate=True)
    except binascii.Error:
        return None
    # The blob begins with the length and the name of the key's type: it has to be the one that the line says.
    return Line(marker, hosts, kind, blob) if blob[4 : 4 + len(kind)] == kind.encode() else None


def matches(hosts: str, name: str) -> bool:
    """Whether a line's first field means `name`, which is in lower case: a hashed name, or patterns with *, ? and !."""
    if hosts.startswith("|"):
        return _matches_hash(hosts, name)
    found = False
    for pattern in hosts.lower().split(","):
        negated = pattern.startswith("!")
        if _matches_pattern(pattern.removeprefix("!"), name):
            if negated:
                return False
            found = True
    return found


def without(lines: Sequence[str], name: str) -> list[str]:
    """The file's lines without the keys that they record for `name`; other names of a line keep theirs."""
    kept = []
    for text in lines:
        line = parse_line(text)
        if line is None or line.marker or not matches(line.hosts, name):
            kept.append(text)
            continue
        others = [host for host in line.hosts.split(",") if host.lower() != name]
        if 0 < len(others) < len(line.hosts.split(",")) and not matches(",".join(others), name):
            kept.append(text.replace(line.hosts, ",".join(others), 1))
    return kept


def _matches_pattern(pattern: str, name: str) -> bool:
    # fnmatch also reads brackets, which stand for themselves here: [host]:port.
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), name) is not None


def _matches_hash(hashed: str, name: str) -> bool:
    parts = hashed.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in parts[2:])
    except binascii.Error:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), expected)

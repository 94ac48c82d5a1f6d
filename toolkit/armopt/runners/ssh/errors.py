"""What goes wrong on the way to a board. All are DeviceErrors (exit 4), and after each the connection is closed."""

from __future__ import annotations

from armopt.core.errors import DeviceError

_REASON_CHARACTERS = 200


class LostConnection(DeviceError):
    """The board can't be reached, stopped answering, or the connection broke. Trying again may help."""


class HostKeyRefused(DeviceError):
    """The board's host key is unknown, revoked, or not the one that is recorded. Trying again does not help."""


class LoginRefused(DeviceError):
    """The board takes none of the keys that there are. Trying again does not help."""


def reason(what: object) -> str:
    """What a library or the other side says went wrong: on one line, bounded, without characters that do things."""
    text = str(what) or type(what).__name__
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _REASON_CHARACTERS else line[: _REASON_CHARACTERS - 3] + "..."

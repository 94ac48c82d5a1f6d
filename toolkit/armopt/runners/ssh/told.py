"""Lines of JSON that a board says, as they come: bounded. What is in them is checked where it is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from armopt.core.errors import DeviceError

LINE_LIMIT = 1 << 23
Event = dict[str, Any]


class Lines:
    """Splits a stream into events.

    Args:
        who: whose they are, for errors.
        on_event: gets each.

    Attributes:
        content: what came after the events that announced it.
    """

    def __init__(self, who: str, on_event: Callable[[Event], None]) -> None:
        self._who, self._on_event = who, on_event
        self._rest = bytearray()
        self._raw = 0
        self.content = bytearray()

    def take(self, chunk: bytes) -> None:
        """The next piece of the stream.

        Raises:
            DeviceError: a line that has no end.
        """
        self._rest += chunk
        start = 0
        while start < len(self._rest):
            if self._raw:
                piece = self._rest[start : start + self._raw]
                self.content += piece
                self._raw -= len(piece)
                start += len(piece)
                continue
            end = self._rest.find(b"\n", start)
            if end < 0:
                break
            event = _parsed(bytes(self._rest[start:end]))
            start = end + 1
            if event is not None:
                self._on_event(event)
        del self._rest[:start]
        if len(self._rest) > LINE_LIMIT:
            raise DeviceError(f"{self._who} says a line without an end", "check what runs there")

    def expect(self, size: int) -> None:
        """The next `size` bytes of the stream are content, not lines."""
        self._raw = size


def _parsed(line: bytes) -> Event | None:
    """The event; None for other lines, which a login script may print."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None

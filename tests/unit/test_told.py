"""Lines of events, however the stream is cut into chunks."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.core.errors import DeviceError
from armopt.runners.ssh.told import LINE_LIMIT, Event, Lines

noise = st.sampled_from([b"\n", b"Welcome\n", b"{}\n", b"[1]\n", b'{"event": 5}\n', b"\xff\xfe\n", b"{" * 2000 + b"\n"])
events = st.builds(
    lambda number, content: (number, content), st.integers(0, 9), st.none() | st.binary(max_size=40)
)  # a number, and what follows it as it is


@given(st.lists(noise | events, max_size=8), st.integers(0, 2**32))
def test_events_and_content_are_found_in_any_chunks(parts: list[bytes | tuple[int, bytes | None]], seed: int) -> None:
    stream, numbers, contents = b"", [], b""
    for part in parts:
        if isinstance(part, bytes):
            stream += part
        else:
            number, content = part
            announced = {"event": "told", "number": number, "size": len(content or b"")}
            stream += json.dumps(announced).encode() + b"\n" + (content or b"")
            numbers.append(number)
            contents += content or b""
    told: list[Event] = []

    def hear(event: Event) -> None:
        told.append(event)
        lines.expect(event["size"])

    lines = Lines("board", hear)
    chooser = random.Random(seed)
    while stream:
        size = chooser.randint(1, 30)
        lines.take(stream[:size])
        stream = stream[size:]
    assert [event["number"] for event in told] == numbers
    assert lines.content == contents


def test_a_line_without_an_end_is_an_error() -> None:
    lines = Lines("board", print)
    with pytest.raises(DeviceError, match="board says a line without an end"):
        for _ in range(LINE_LIMIT // (1 << 20) + 1):
            lines.take(b"x" * (1 << 20))

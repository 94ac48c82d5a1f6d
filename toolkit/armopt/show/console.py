"""Shows a run while it works: a live tree on a terminal, plain lines elsewhere. Both write to stderr."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console

from armopt.core.events import Doing, Event, Listener, NodeFinished, NodeStarted, Note, RunStarted, SearchProgress
from armopt.core.records import Node
from armopt.show import figures
from armopt.show.text import clean


@contextlib.contextmanager
def progress(stream: TextIO) -> Iterator[Listener]:
    """A listener that shows a run on `stream`; leaving the block gives the terminal back, whatever happened."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield PlainLines(stream)
        return
    from armopt.show.live import LiveTree

    with LiveTree(console) as live:
        yield live


class PlainLines:
    """Listener that writes one line per node event, none per step, and each kind of other work once: made for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: set[str] = set()
        self._searching = False

    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        if isinstance(event, (SearchProgress, RunStarted)):
            self._searching = isinstance(event, SearchProgress)
        elif self._searching and isinstance(event, NodeStarted):
            return  # a search has many nodes, and a line for each trial
        line = plain_line(event)
        if isinstance(event, Doing):
            # "40 of 360 samples" is one thing that is being done, however often it counts on.
            kind = re.sub(r"[0-9]+", "0", event.text)
            line = None if kind in self._told else line
            self._told.add(kind)
        if line is not None:
            self._stream.write(line + "\n")
            self._stream.flush()


def plain_line(event: Event) -> str | None:
    """The event in one line, None for events that are too many or told elsewhere."""
    if isinstance(event, RunStarted):
        return clean(headline(event))
    if isinstance(event, NodeStarted):
        return clean(f"{event.path}: {event.work}")
    if isinstance(event, NodeFinished):
        return clean(f"{event.node.path}: {finished(event.node, event.cached)}")
    if isinstance(event, Note):
        return clean(f"note: {event.text}")
    if isinstance(event, Doing):
        return clean(event.text)
    return None


def headline(event: RunStarted) -> str:
    """What the run is about to do."""
    return (
        f"{len(event.paths)} nodes, {len(event.leaves)} of them deployable; {event.device} "
        f"({event.runner}, {event.evidence}); target: {event.target}"
    )


def finished(node: Node, cached: bool) -> str:
    """A finished node's status, figures and reason."""
    origin = "from the store" if cached else f"in {figures.seconds(node.seconds)}" if node.seconds is not None else ""
    parts = [" ".join(part for part in (node.status, origin) if part), figures.node_figures(node), node.reason]
    return "; ".join(part for part in parts if part)

"""What a long run tells while it works. Listeners are plain callables; the console is one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from armopt.core.records import Node, Result


@dataclass(frozen=True)
class RunStarted:
    """The tree is known: all node paths, the device and how it is reached."""

    paths: tuple[str, ...]
    leaves: tuple[str, ...]
    device: str
    runner: str
    evidence: str
    target: str


@dataclass(frozen=True)
class NodeStarted:
    """Work on a node begins; `work` says what, for example 'training, 50% zeros'."""

    path: str
    work: str


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step of `steps` in all was done on the node."""

    path: str
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float


@dataclass(frozen=True)
class NodeFinished:
    """A node was built, judged, skipped or failed; `cached` where the store already had it."""

    node: Node
    cached: bool


@dataclass(frozen=True)
class Note:
    """A sentence the user should see: a fallback, an assumption, a set-up step."""

    text: str


@dataclass(frozen=True)
class Doing:
    """What is being done right now, for a status line; of no interest a minute later."""

    text: str


@dataclass(frozen=True)
class SearchProgress:
    """A search has `done` trials behind it, of `trials`, or of as many as time allows; `best` is told in words."""

    done: int
    trials: int | None
    best: str = ""


@dataclass(frozen=True)
class RunFinished:
    """The verdict stands."""

    result: Result


Event = RunStarted | NodeStarted | TrainingStep | NodeFinished | Note | Doing | SearchProgress | RunFinished
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listener that ignores everything."""


def one_at_a_time(listener: Listener) -> Listener:
    """The listener, told of one event at a time whichever threads they come from."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            listener(event)

    return tell


def few_steps(listener: Listener, per_s: float) -> Listener:
    """The listener, told of at most so many training steps a second, and of the last step and all else always."""
    told = float("-inf")

    def tell(event: Event) -> None:
        nonlocal told
        if isinstance(event, TrainingStep) and event.step < event.steps:
            if time.monotonic() - told < 1 / per_s:
                return
            told = time.monotonic()
        listener(event)

    return tell

"""What a worker process says to the process that started it."""

from __future__ import annotations

from dataclasses import dataclass

from armopt.core.events import Event


@dataclass(frozen=True)
class Told:
    """Something happened on the way."""

    event: Event


@dataclass(frozen=True)
class Done:
    """The task is done; `made` is False where the node was in the store."""

    made: bool


@dataclass(frozen=True)
class Failed:
    """The task raised."""

    error: Exception


Answer = Told | Done | Failed

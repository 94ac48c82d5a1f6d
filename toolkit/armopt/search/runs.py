"""What a walk and a search ask of a device, whichever it is: an emulated board, real ones, or an NPU's compiler."""

from __future__ import annotations

from typing import Protocol

from armopt.compress.task import Task
from armopt.core.device import Kind
from armopt.core.events import Listener
from armopt.core.records import Evidence, Measurement, RunnerName
from armopt.search.builder import Built
from armopt.search.store import Store


class Runs(Protocol):
    """Runs leaves on a device. Its methods raise DeviceError where that fails."""

    @property
    def device(self) -> Kind:
        """Its kind."""

    @property
    def task(self) -> Task:
        """What the model is for."""

    @property
    def threads(self) -> int:
        """Of the runtime."""

    @property
    def store(self) -> Store:
        """Remembers what is repeatable."""

    @property
    def listener(self) -> Listener:
        """Told of what happens."""

    @property
    def runner(self) -> RunnerName:
        """How the device is reached."""

    @property
    def evidence(self) -> Evidence:
        """What its latencies are worth."""

    @property
    def identity(self) -> str:
        """Tells devices apart whose figures must not be mixed."""

    @property
    def at_once(self) -> int:
        """Leaves that it measures side by side: the number of boards."""

    def measurement(self, built: Built) -> Measurement:
        """Figures of one leaf."""

    def draft(self, built: Built) -> Measurement:
        """Figures of a leaf that stands for others of its shape; what comes out of it means nothing."""

    def accuracy(self, built: Built, instructions: int | None) -> float | None:
        """The metric on the device over the whole test split; None where that would take too long."""

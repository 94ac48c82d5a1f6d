"""Runs built leaves on the device, remembers what is repeatable, and confirms the chosen one on the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from armopt.compress.data import Data
from armopt.compress.task import Task
from armopt.core.device import BoardKind
from armopt.core.events import Doing, Listener, Note
from armopt.core.records import Evidence, Measurement, RunnerName
from armopt.core.version import VERSION
from armopt.measuring import REVISION, measure
from armopt.search.builder import Built
from armopt.search.samples import SplitSamples
from armopt.search.store import Store, key_of

# Samples whose outputs every leaf has to show on the device; the chosen one shows the whole test split where that is
# quick: emulation runs some hundred million instructions a second, and a minute is what a user waits for a last check.
_SAMPLES = 4
_CONFIRM_INSTRUCTIONS = 4e9


@dataclass(frozen=True)
class DeviceRuns:
    """Measures leaves on one device.

    Attributes:
        device: the board kind.
        data: prepared data; outputs are compared on test samples.
        task: for the accuracy on the device.
        threads: of the runtime.
        offline: never fetch anything.
        store: remembers emulated counts, which are the same every time.
        listener: told of set-up steps.
    """

    device: BoardKind
    data: Data
    task: Task
    threads: int
    offline: bool
    store: Store
    listener: Listener

    @property
    def runner(self) -> RunnerName:
        """The emulator."""
        return "qemu"

    @property
    def evidence(self) -> Evidence:
        """Counts are exact, latencies modelled."""
        return "modelled"

    @property
    def identity(self) -> str:
        """All emulated boards of a kind count the same."""
        return ""

    @property
    def at_once(self) -> int:
        """One: emulation takes all that there is."""
        return 1

    def measurement(self, built: Built) -> Measurement:
        """Figures of one leaf on the device, from the store where the same file was measured there before."""

        def run() -> dict[str, Any]:
            found, _ = self._run(built, _SAMPLES, by_operator=True)
            return {"seconds": found.seconds, "measurement": found.model_dump()}

        remembered = self._remembered("measurement by operator", built, self.threads, run)
        return Measurement.model_validate(remembered["measurement"])

    def draft(self, built: Built) -> Measurement:
        """Figures of a leaf that stands for others of its shape: one sample runs, and what comes out means nothing."""

        def run() -> dict[str, Any]:
            found, _ = self._run(built, 1)
            return {"seconds": found.seconds, "measurement": found.model_dump()}

        return Measurement.model_validate(self._remembered("draft", built, self.threads, run)["measurement"])

    def accuracy(self, built: Built, instructions: int | None) -> float | None:
        """The metric on the device over the whole test split; None where emulating that would take minutes."""
        count = len(self.data.test)
        if instructions is None or instructions * count > _CONFIRM_INSTRUCTIONS:
            return None

        def run() -> dict[str, Any]:
            self.listener(Note(f"running the chosen model on all {count} test samples on {self.device.name}"))
            found, score = self._run(built, count)
            return {"seconds": found.seconds, "metric": score}

        return float(self._remembered("device accuracy", built, self.task.identity, run)["metric"])

    def _remembered(
        self, what: str, built: Built, further: object, run: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What `run` finds out about a file on this device, from the store where it was found out before."""
        assert built.audit is not None
        data = self.data.fingerprint()
        key = key_of(what, built.audit.sha256, self.device.model_dump(), data, further, f"{VERSION}/{REVISION}")
        entry = self.store.get(key)
        if entry is None:
            record = {"kind": "measurement", "node": "", "model": self.device.name, **run()}
            entry = self.store.put(key, lambda folder: record)
        return entry.record

    def _run(self, built: Built, count: int, by_operator: bool = False) -> tuple[Measurement, float]:
        samples = SplitSamples(built.tflite, self.data.test, count)
        found, outputs = measure(
            built.tflite,
            self.device,
            samples=samples.arrays,
            threads=self.threads,
            by_operator=by_operator,
            offline=self.offline,
            say=lambda text: self.listener(Doing(text)),
        )
        return found, self.task.score(samples.chosen.y, samples.real(outputs))

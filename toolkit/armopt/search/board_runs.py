"""Runs built leaves on real boards, and confirms the chosen one on the whole test split there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from armopt.boards import Boards
from armopt.compress.data import Data
from armopt.compress.task import Task
from armopt.core.device import BoardKind
from armopt.core.events import Listener, Note
from armopt.core.records import Evidence, Measurement, RunnerName
from armopt.core.stopping import Claim
from armopt.core.version import VERSION
from armopt.search.builder import Built
from armopt.search.samples import SplitSamples
from armopt.search.store import Store, key_of

_SAMPLES = 4
# What was measured is taken up by a rerun of an interrupted deployment, but a board is not what it was for ever.
REUSED_S = 3600.0
# A minute and a half per board is what a user waits for a last check.
_CONFIRM_S = 90.0


@dataclass(frozen=True)
class BoardRuns:
    """Measures leaves on boards of one kind.

    Attributes:
        boards: they.
        data: prepared data; outputs are compared on test samples.
        task: for the accuracy on the boards.
        claim: what a leaf's latency is held against.
        threads: of the runtime.
        store: remembers measurements for `REUSED_S`.
        listener: told of what happens.
    """

    boards: Boards
    data: Data
    task: Task
    claim: Claim
    threads: int
    store: Store
    listener: Listener

    @property
    def device(self) -> BoardKind:
        """The boards' kind."""
        return self.boards.kind

    @property
    def runner(self) -> RunnerName:
        """How they are reached."""
        return self.boards.runner

    @property
    def evidence(self) -> Evidence:
        """What they say is measured, or a virtual board's word that a model runs."""
        return self.boards.evidence

    @property
    def identity(self) -> str:
        """Boards of the same kind are not the same."""
        return " ".join(sorted(self.boards.names))

    @property
    def at_once(self) -> int:
        """Each board measures one leaf."""
        return len(self.boards.names)

    def measurement(self, built: Built) -> Measurement:
        """Figures of one leaf, until the claim is decided."""
        return self._measured(built, self.claim, _SAMPLES)

    def draft(self, built: Built) -> Measurement:
        """Figures of a leaf that stands for others of its shape, after the fewest rounds."""
        return self._measured(built, self.claim.model_copy(update={"limit_ms": None, "least_rounds": 0}), 1)

    def accuracy(self, built: Built, instructions: int | None) -> float | None:
        """The metric on the boards over the whole test split; None where that would take minutes."""
        count, latency = len(self.data.test), self._measured(built, self.claim, _SAMPLES).latency_ms
        if latency is not None and latency.p50 * count > 1e3 * _CONFIRM_S * len(self.boards.names):
            return None
        self.listener(Note(f"running the chosen model on all {count} test samples on {', '.join(self.boards.names)}"))
        samples = SplitSamples(built.tflite, self.data.test, count)
        outputs = self.boards.outputs(built.tflite, samples.arrays, self.threads)
        return self.task.score(samples.chosen.y, samples.real(outputs))

    def _measured(self, built: Built, claim: Claim, count: int) -> Measurement:
        assert built.audit is not None
        asked = (self.identity, self.device.model_dump(), claim.model_dump(), self.threads, self.data.fingerprint())
        key = key_of("board measurement", built.audit.sha256, *asked, count, VERSION)
        entry = self.store.get(key)
        if entry is not None and time.time() - float(entry.record["at"]) < REUSED_S:
            return Measurement.model_validate(entry.record["measurement"])
        samples = SplitSamples(built.tflite, self.data.test, count)
        found, _ = self.boards.measure(built.tflite, claim, samples=samples.arrays, threads=self.threads)
        record: dict[str, Any] = {"kind": "measurement", "node": "", "model": self.device.name, "at": time.time()}
        record |= {"seconds": found.seconds, "measurement": found.model_dump()}
        self.store.remove([key])
        self.store.put(key, lambda folder: record)
        return found

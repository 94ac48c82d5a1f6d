"""Estimates leaves on an Ethos-U: they are compiled, not run, so nothing is known of accuracy there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from armopt.compress.task import Task
from armopt.core.events import Listener, Note
from armopt.core.npu import NpuKind
from armopt.core.records import Evidence, Measurement, RunnerName
from armopt.core.version import VERSION
from armopt.npu_measuring import REVISION, estimate
from armopt.runners.ethosu.vela import vela_version
from armopt.search.builder import Built
from armopt.search.store import Store, key_of


@dataclass(frozen=True)
class NpuRuns:
    """Estimates leaves on one kind of NPU.

    Attributes:
        device: the NPU and the system around it.
        task: what the model is for.
        store: remembers estimates, which are the same every time.
        listener: told, once for each, of operators that the NPU leaves to the CPU.
    """

    device: NpuKind
    task: Task
    store: Store
    listener: Listener
    _told: set[str] = field(default_factory=set)

    @property
    def threads(self) -> int:
        """An NPU has none to choose."""
        return 1

    @property
    def runner(self) -> RunnerName:
        """Its compiler."""
        return "vela"

    @property
    def evidence(self) -> Evidence:
        """A compiler's estimate, whose error is not known."""
        return "estimated"

    @property
    def identity(self) -> str:
        """Two versions of the compiler may estimate differently."""
        return vela_version()

    @property
    def at_once(self) -> int:
        """One: it takes half a second."""
        return 1

    def measurement(self, built: Built) -> Measurement:
        """The estimate of one leaf, from the store where the same file was estimated before."""
        assert built.audit is not None
        key = key_of("estimate", built.audit.sha256, self.device.model_dump(), self._ini(), self.identity, _OURS)
        entry = self.store.get(key)
        if entry is None:
            found = estimate(built.tflite, self.device).measurement
            record: dict[str, Any] = {"kind": "measurement", "node": "", "model": self.device.name}
            record |= {"seconds": found.seconds, "measurement": found.model_dump(mode="json")}
            entry = self.store.put(key, lambda folder: record)
        measurement = Measurement.model_validate(entry.record["measurement"])
        self._tell(measurement)
        return measurement

    def draft(self, built: Built) -> Measurement:
        """As of any leaf."""
        return self.measurement(built)

    def accuracy(self, built: Built, instructions: int | None) -> float | None:
        """None: nothing runs."""
        return None

    def _ini(self) -> str:
        """What the user's own vela.ini says, which may change under its name."""
        path = self.device.system.vela_ini
        return Path(path).read_text(errors="replace") if path else ""

    def _tell(self, measurement: Measurement) -> None:
        npu = measurement.npu
        if npu is not None and npu.fallback_ops and npu.fallback_words not in self._told:
            self._told.add(npu.fallback_words)
            self.listener(Note(f"{self.device.name} leaves {npu.fallback_words} to the CPU: that is not estimated"))


_OURS = f"{VERSION}/{REVISION}"

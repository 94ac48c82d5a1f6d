"""The first latency model: instruction counts and a board kind -> milliseconds with a stated interval.

A block of code costs what its busiest unit needs (`ports.py`). Dependences and cache hits beyond the first level are
not modelled; one coefficient per core, fitted on published latencies, stands for them.
Memory traffic is added, not overlapped. `benchmarks/first_latency_model.py` fits the coefficients and shows the errors;
docs/results.md holds its figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.counts import LINE_BYTES, Counts
from armopt.core.device import BoardKind, CoreKind
from armopt.latency.ports import block_cycles

# A thread brings 80% of itself: four published four-thread XNNPACK rows are 0.98 to 1.29 times what that predicts
# (docs/results.md, "First latency model"). The interval widens by it, and downwards by a judgement.
THREAD_EFFICIENCY = 0.8
THREAD_SPREAD = (0.87, 1.3)


@dataclass(frozen=True)
class Parts:
    """Where the time of each segment of a run goes, in ms, (segments,) each; their sum is the prediction.

    Attributes:
        core: the core at work, all loads hitting the first cache level.
        cache: waiting for lines that the first level lacks and a later one has.
        memory: waiting for lines that cross the last cache level.
        overhead: the runtime's cost of each operator that counts do not show.
    """

    core: NDArray[np.float64]
    cache: NDArray[np.float64]
    memory: NDArray[np.float64]
    overhead: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """(segments,) ms."""
        return self.core + self.cache + self.memory + self.overhead


@dataclass(frozen=True)
class Prediction:
    """A modelled latency: `p50_ms`, the sum of `parts`, within `interval_ms`; `cycles` at the clock it is for."""

    p50_ms: float
    interval_ms: tuple[float, float]
    cycles: int
    interval_source: str
    parts: Parts


def predict(counts: Counts, device: BoardKind, *, threads: int = 1, freq_mhz: int | None = None) -> Prediction:
    """The latency of one inference whose single-thread execution was counted.

    Args:
        counts: one inference, one thread.
        device: the board kind; its `fitted` calibration applies.
        threads: runtime threads; no more than the board's cores help.
        freq_mhz: CPU clock, the board's own if None.
    """
    freq = freq_mhz or device.cpu.freq_mhz
    calibration = device.fitted
    low, high, source = calibration.low, calibration.high, calibration.interval_source
    working = min(threads, device.cpu.cores)
    speedup = 1.0 if working == 1 else working * THREAD_EFFICIENCY
    if working > 1:
        low, high = low * THREAD_SPREAD[0], high * THREAD_SPREAD[1]
        source += f"; widened for {working} threads, which the model divides by a fixed efficiency"
    cycles = counts.executions @ block_cycles(counts.classes, device.core)
    parts = Parts(
        core=calibration.coefficient * cycles / (freq * 1e3) / speedup,
        cache=np.zeros(len(cycles)),
        memory=memory_time_ms(counts, device),
        overhead=np.zeros(len(cycles)),
    )
    p50_ms = float(parts.total.sum())
    return Prediction(
        p50_ms=p50_ms,
        interval_ms=(low * p50_ms, high * p50_ms),
        cycles=round(p50_ms * freq * 1e3),
        interval_source=source,
        parts=parts,
    )


def core_cycles(counts: Counts, core: CoreKind) -> float:
    """Cycles of the counted inference by throughput alone, before calibration."""
    return float(counts.block_executions @ block_cycles(counts.classes, core))


def memory_time_ms(counts: Counts, device: BoardKind) -> NDArray[np.float64]:
    """(segments,) time for the lines that cross the last cache level; a copy of one byte moves two across it."""
    return counts.traffic(-1) * LINE_BYTES / (2 * device.memory.copy_gb_s * 1e6)

"""The latency model: counts and a board kind -> milliseconds with a stated interval (docs/latency-model.md).

Time is a sum over the operators of what the core needs for the blocks it executes (`cycles.py`), of waiting for lines
that the first cache level lacks, of moving lines across the last level, and of the runtime's cost per operator; each
with a coefficient fitted on published latencies of that core. Threads share what all of them run and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.calibration import Calibration, Terms, choose
from armopt.core.counts import Counts
from armopt.core.device import BoardKind
from armopt.latency.features import Features, features_of

# By how much an interval widens, up and down, where a calibration is used for what it was not fitted on. Judgements:
# other kernels and other numbers of threads on the same core were 0.8 to 1.3 times what the nearest calibration says.
_OTHER_KERNELS = (0.8, 1.3)
_OTHER_THREADS = (0.8, 1.3)


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
        device: the board kind; its calibrations apply.
        threads: runtime threads; no more than the board's cores help.
        freq_mhz: CPU clock, the board's own if None.

    Raises:
        DeviceError: llvm-mca is there and failed.
    """
    return predict_from(features_of(counts, device), device, threads=threads, freq_mhz=freq_mhz)


def predict_from(features: Features, device: BoardKind, *, threads: int = 1, freq_mhz: int | None = None) -> Prediction:
    """`predict` for features that are known: several numbers of threads or clocks of one run."""
    freq = freq_mhz or device.cpu.freq_mhz
    working = max(1, min(threads, device.cpu.cores))
    calibration = choose(device.calibrations, features.kernels, features.numbers, working)
    terms = np.array([getattr(calibration, name) for name in Terms.model_fields])
    *core, cache, memory, overhead = (features.design(device, threads=working, freq_mhz=freq) * terms).T
    parts = Parts(core=np.sum(core, axis=0), cache=cache, memory=memory, overhead=overhead)
    p50_ms = float(parts.total.sum())
    low, high, source = _interval(calibration, features, working)
    return Prediction(
        p50_ms=p50_ms,
        interval_ms=(low * p50_ms, high * p50_ms),
        cycles=round(p50_ms * freq * 1e3),
        interval_source=source,
        parts=parts,
    )


def _interval(calibration: Calibration, features: Features, threads: int) -> tuple[float, float, str]:
    """The calibration's factors, widened where it is used for what it was not fitted on, and why they are so."""
    low, high, source = calibration.low, calibration.high, calibration.interval_source
    if calibration.kernels != features.kernels or features.numbers not in calibration.numbers:
        low, high = low * _OTHER_KERNELS[0], high * _OTHER_KERNELS[1]
        source += f"; widened: fitted on {calibration.kernels} kernels, not {features.kernels} in {features.numbers}"
    first, last = calibration.threads
    if not first <= threads <= last:
        low, high = low * _OTHER_THREADS[0], high * _OTHER_THREADS[1]
        source += f"; widened: no figures for {threads} threads"
    return low, high, source

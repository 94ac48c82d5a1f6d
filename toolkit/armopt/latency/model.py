"""The first latency model: instruction counts and a board kind -> milliseconds with a stated interval.

A block of code costs what its busiest unit needs: the sum over its instructions of the reciprocal throughput of their
class, or the instructions divided by the issue width where that is more (a bound, as port models of throughput give it:
Abel and Reineke, uops.info, ASPLOS 2019). Two vector pipes share what both can execute. Dependences and cache hits
beyond the first level are not modelled; one coefficient per core, fitted on published latencies, stands for them.
Memory traffic is added, not overlapped. `benchmarks/first_latency_model.py` fits the coefficients and shows the errors;
docs/results.md holds its figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.counts import Counts
from armopt.core.device import BoardKind, CoreKind
from armopt.core.instructions import CLASS_INDEX, CLASS_UNIT, CLASSES, UNITS

LINE_BYTES = 64
# A thread brings 80% of itself: four published four-thread XNNPACK rows are 0.98 to 1.29 times what that predicts
# (docs/results.md, "First latency model"). The interval widens by it, and downwards by a judgement.
THREAD_EFFICIENCY = 0.8
THREAD_SPREAD = (0.87, 1.3)


@dataclass(frozen=True)
class Prediction:
    """A modelled latency: `p50_ms` within `interval_ms`; `core_ms` + `memory_ms` = `p50_ms`; cycles at `freq_mhz`."""

    p50_ms: float
    interval_ms: tuple[float, float]
    cycles: int
    interval_source: str
    core_ms: float
    memory_ms: float


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
    core_ms = calibration.coefficient * core_cycles(counts, device.core) / (freq * 1e3) / speedup
    memory_ms = memory_time_ms(counts, device)
    p50_ms = core_ms + memory_ms
    return Prediction(
        p50_ms=p50_ms,
        interval_ms=(low * p50_ms, high * p50_ms),
        cycles=round(p50_ms * freq * 1e3),
        interval_source=source,
        core_ms=core_ms,
        memory_ms=memory_ms,
    )


def core_cycles(counts: Counts, core: CoreKind) -> float:
    """Cycles of the counted inference by throughput alone, before calibration."""
    return float(counts.executions @ block_cycles(counts.classes, core))


def block_cycles(classes: NDArray[np.int64], core: CoreKind) -> NDArray[np.float64]:
    """(blocks,) cycles of one execution of each block, from (blocks, classes) instruction counts."""
    cost = np.array([core.cycles[name] for name in CLASSES])
    unit_of = [CLASS_UNIT[name] for name in CLASSES]
    if core.shared_load_store:
        unit_of = ["load" if unit == "store" else unit for unit in unit_of]

    def busy(names: Iterable[str]) -> NDArray[np.float64]:
        columns = [CLASS_INDEX[name] for name in names]
        time: NDArray[np.float64] = classes[:, columns] @ cost[columns]
        return time

    units = {unit: [name for name, own in zip(CLASSES, unit_of, strict=True) if own == unit] for unit in UNITS}
    first, second = busy(core.first_pipe), busy(core.second_pipe)
    either = busy(name for name in units.pop("vector") if name not in (*core.first_pipe, *core.second_pipe))
    # What one pipe alone executes leaves the other free: in the sum over both it counts half.
    vector = np.maximum.reduce([either + (first + second) / 2, first, second])
    issue = classes.sum(axis=1) / core.issue_width
    bound: NDArray[np.float64] = np.maximum.reduce([vector, issue, *(busy(names) for names in units.values())])
    return bound


def memory_time_ms(counts: Counts, device: BoardKind) -> float:
    """Time for the lines that cross the last cache level; a copy of one byte moves two across it."""
    moved = (counts.memory_reads + counts.memory_writes) * LINE_BYTES
    return moved / (2 * device.memory.copy_gb_s * 1e6)

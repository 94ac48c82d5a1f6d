"""What limits a piece of a run: a unit of the core, its front end, caches and memory, or what is not the kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armopt.core.counts import Counts
from armopt.core.device import CoreKind
from armopt.core.instructions import CLASS_INDEX, CLASS_UNIT
from armopt.core.records import Bound
from armopt.latency.kernel_names import is_generic
from armopt.latency.ports import unit_cycles

# Of vector instructions: those that an operator is there for, and those that only put numbers in place.
MULTIPLIES = ("fp_mac", "int_mac_long", "int_mac", "int_multiply", "dot", "i8mm")
PERMUTES = ("permute", "table", "transfer")
# INT8 kernels without dot product need as many instructions beside each multiply-accumulate: two in five is what such
# a kernel has (XNNPACK 2x8c8 on Cortex-A72: 46%); depthwise and elementwise kernels lie at 30 to 37%.
_CHARACTERISTIC = 0.4
# Below both of these an operator is the runtime's loop with a kernel in it, not the other way round.
_KERNEL_SHARE, _FEW_INSTRUCTIONS = 0.5, 20_000

_OF_UNIT: dict[str, Bound] = {
    "load": "load",
    "store": "store",
    "issue": "issue",
    "integer": "scalar",
    "branch": "scalar",
}


class Bounds:
    """Tells what limits parts of one counted run, by the port model of a core.

    A block is limited by its busiest unit; of several blocks, the unit that limits most cycles counts.
    """

    def __init__(self, counts: Counts, core: CoreKind) -> None:
        units = unit_cycles(counts.classes, core)
        self._names = list(units)
        cycles = np.array([units[name] for name in self._names])
        self._counts = counts
        self._busiest = cycles.argmax(axis=0)
        self._cycles: NDArray[np.float64] = cycles.max(axis=0)
        self._lengths = np.array([len(block) // 4 for block in counts.blocks], np.int64)
        self._is_kernel = np.array([not is_generic(function) for function in counts.functions], bool)
        self._cost = np.array([core.cycles[name] for name in CLASS_INDEX])

    def of(self, segments: list[int], *, core_ms: float, waiting_ms: float, overhead_ms: float) -> Bound:
        """What limits these segments, whose time is `core_ms` of work, `waiting_ms` for data, and `overhead_ms`."""
        executions = self._counts.executions[segments].sum(axis=0)
        work = executions * self._lengths
        if overhead_ms > core_ms + waiting_ms:
            return "overhead"
        if work.sum() < _FEW_INSTRUCTIONS and work[self._is_kernel].sum() < _KERNEL_SHARE * work.sum():
            return "overhead"
        if waiting_ms > core_ms:
            return "bandwidth"
        cycles = executions * self._cycles
        limited = np.bincount(self._busiest, weights=cycles, minlength=len(self._names))
        unit = self._names[int(limited.argmax())]
        return _OF_UNIT[unit] if unit in _OF_UNIT else self._vector(executions * (self._busiest == limited.argmax()))

    def _vector(self, executions: NDArray[np.int64]) -> Bound:
        """Which vector instructions, of blocks that vector pipes limit."""
        cost = (executions @ self._counts.classes) * self._cost

        def share(names: tuple[str, ...]) -> float:
            return float(cost[[CLASS_INDEX[name] for name in names]].sum() / whole)

        whole = cost[[index for name, index in CLASS_INDEX.items() if CLASS_UNIT[name] == "vector"]].sum()
        if whole and share(MULTIPLIES) >= _CHARACTERISTIC:
            return "multiply"
        return "permute" if whole and share(PERMUTES) >= _CHARACTERISTIC else "vector"

"""What an emulated inference executed: the runner counts it, the latency model reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armopt.core.instructions import CLASSES


@dataclass(frozen=True)
class Counts:
    """Executions of one inference, single thread.

    Attributes:
        executions: (blocks,) int64, how often each distinct block (straight-line run of instructions) ran.
        classes: (blocks, len(CLASSES)) int64, instructions of each class in one execution of the block.
        loaded_bytes, stored_bytes: bytes that load and store instructions moved.
        l1_misses: lines of 64 bytes that a simulated first-level data cache of the board's size did not hold.
        memory_reads, memory_writes: lines of 64 bytes that crossed the simulated last cache level, in either direction.
            All cache figures are 0 where no cache was simulated.
    """

    executions: NDArray[np.int64]
    classes: NDArray[np.int64]
    loaded_bytes: int = 0
    stored_bytes: int = 0
    l1_misses: int = 0
    memory_reads: int = 0
    memory_writes: int = 0

    @property
    def instructions(self) -> int:
        """Instructions executed."""
        return int(self.executions @ self.classes.sum(axis=1))

    def by_class(self) -> dict[str, int]:
        """Instructions per class, without the classes that did not occur, most frequent first."""
        totals: NDArray[Any] = self.executions @ self.classes
        named = {name: int(total) for name, total in zip(CLASSES, totals, strict=True) if total}
        return dict(sorted(named.items(), key=lambda item: -item[1]))

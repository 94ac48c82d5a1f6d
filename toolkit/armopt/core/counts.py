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
        l1_misses, l2_misses: lines of 64 bytes that a simulated data cache of the board's size did not hold.
        l2_writebacks: dirty lines that left the last simulated level. All cache figures are 0 where none was simulated.
    """

    executions: NDArray[np.int64]
    classes: NDArray[np.int64]
    loaded_bytes: int = 0
    stored_bytes: int = 0
    l1_misses: int = 0
    l2_misses: int = 0
    l2_writebacks: int = 0

    @property
    def instructions(self) -> int:
        """Instructions executed."""
        return int(self.executions @ self.classes.sum(axis=1))

    def by_class(self) -> dict[str, int]:
        """Instructions per class, without the classes that did not occur, most frequent first."""
        totals: NDArray[Any] = self.executions @ self.classes
        named = {name: int(total) for name, total in zip(CLASSES, totals, strict=True) if total}
        return dict(sorted(named.items(), key=lambda item: -item[1]))

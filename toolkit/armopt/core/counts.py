"""What an emulated inference executed, operator by operator: the runner counts it, the latency model reads it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from armopt.core.decode import count_classes
from armopt.core.instructions import CLASSES

LINE_BYTES = 64
# What began a segment: the first marker, an operator of the XNNPACK delegate, or an operator that the runtime calls.
Start = Literal["", "xnnpack", "runtime"]


@dataclass(frozen=True)
class Counts:
    """Executions of one inference, single thread, in the order of the operators that ran.

    Attributes:
        blocks: instruction words of each distinct block (straight-line run of instructions), little endian.
        functions: (blocks,) the function that each block lies in, '' where no symbol names it.
        starts: (segments,) what began each segment; all that ran up to the next start belongs to it.
        executions: (segments, blocks) int64, how often each block ran.
        moved_bytes: (segments, 2) int64, bytes that load and that store instructions moved.
        lines: (segments, levels, 2) int64, lines of 64 bytes that each simulated data cache level of the board's size
            did not hold, and that it wrote back. The last level's are memory traffic. Levels are 0 where no cache was
            simulated.
    """

    blocks: tuple[bytes, ...]
    functions: tuple[str, ...]
    starts: tuple[Start, ...]
    executions: NDArray[np.int64]
    moved_bytes: NDArray[np.int64]
    lines: NDArray[np.int64]

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """(blocks, len(CLASSES)) instructions of each class in one execution of each block."""
        return count_classes(self.blocks)

    @cached_property
    def block_executions(self) -> NDArray[np.int64]:
        """(blocks,) executions in the whole inference."""
        total: NDArray[np.int64] = self.executions.sum(axis=0)
        return total

    @property
    def segment_instructions(self) -> NDArray[np.int64]:
        """(segments,) instructions executed in each segment."""
        lengths = np.array([len(block) // 4 for block in self.blocks], np.int64)
        found: NDArray[np.int64] = self.executions @ lengths
        return found

    @property
    def instructions(self) -> int:
        """Instructions executed."""
        return int(self.segment_instructions.sum())

    def by_class(self, segment: int | None = None) -> dict[str, int]:
        """Instructions per class, most frequent first, without those that did not occur; of one segment or all."""
        executions = self.block_executions if segment is None else self.executions[segment]
        totals: NDArray[Any] = executions @ self.classes
        named = {name: int(total) for name, total in zip(CLASSES, totals, strict=True) if total}
        return dict(sorted(named.items(), key=lambda item: -item[1]))

    def misses(self, level: int) -> NDArray[np.int64]:
        """(segments,) lines that a cache level did not hold, from 0."""
        found: NDArray[np.int64] = self.lines[:, level, 0] if self.lines.shape[1] else np.zeros(len(self.starts), int)
        return found

    def traffic(self, level: int) -> NDArray[np.int64]:
        """(segments,) lines that went in and out of a cache level, from 0; -1 is the last before memory."""
        if not self.lines.shape[1]:
            return np.zeros(len(self.starts), np.int64)
        found: NDArray[np.int64] = self.lines[:, level, :].sum(axis=1)
        return found

"""Cycles of the basic blocks that ran: by llvm-mca where LLVM has a good model of the core, else by ports."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.decode import count_classes
from armopt.core.device import CoreKind
from armopt.latency import ports
from armopt.latency.block_cache import block_hash, read_cycles, shipped_path, user_path, write_cycles
from armopt.latency.llvm_mca import find_llvm_mca

# The rest is thousands of blocks that ran once or twice.
HOT_SHARE = 0.999


@dataclass(frozen=True)
class BlockCycles:
    """What blocks cost.

    Attributes:
        cycles: (blocks,) cycles of one execution of each block, caches and branches always hitting.
        sources: the share of executed instructions whose cycles came from 'llvm-mca' and from 'ports'; the sum is 1.
    """

    cycles: NDArray[np.float64]
    sources: dict[str, float]


def block_cycles(blocks: Sequence[bytes], executions: NDArray[np.int64], core: CoreKind) -> BlockCycles:
    """Cycles of one execution of each block.

    The hottest blocks, which make up 99.9% of the executed instructions, are looked up in the package's file, then in
    the user's cache, then llvm-mca is asked and the cache extended. The port model gives the others, and everything
    where the core has no scheduler or llvm-mca is not installed; it also bounds what llvm-mca says from below. Colder
    blocks are not looked up even where they are known: figures must not depend on what ran before.

    Args:
        blocks: instruction words of each block, little-endian.
        executions: (blocks,) how often each ran.
        core: its `scheduler` is LLVM's name for the model; `cycles` are the port model's.

    Raises:
        DeviceError: llvm-mca is there and failed.
    """
    classes = count_classes(blocks)
    work = classes.sum(axis=1) * executions
    cycles = ports.block_cycles(classes, core)
    known = np.zeros(len(blocks), bool)
    if core.scheduler:
        hot = _hottest(blocks, work)
        for row, figure in zip(hot, _looked_up([blocks[row] for row in hot], core.scheduler), strict=True):
            if not math.isnan(figure):
                # LLVM's models know no limit of decoding (Neoverse N1: 8 instructions a cycle) and start four vector
                # multiply-adds a cycle on a Neoverse V1, where 2.7 were measured: the ports stay a lower bound.
                cycles[row] = max(figure, cycles[row])
                known[row] = True
    by_mca = float(work[known].sum() / work.sum()) if work.any() else 0.0
    return BlockCycles(cycles, {"llvm-mca": by_mca, "ports": 1 - by_mca})


def _hottest(blocks: Sequence[bytes], work: NDArray[np.int64]) -> list[int]:
    """Rows of the fewest blocks that do `HOT_SHARE` of the work."""
    # Equal work is ordered by content, so that the same blocks in another order give the same figures.
    order = sorted(np.flatnonzero(work).tolist(), key=lambda row: (-work[row], blocks[row]))
    done = np.cumsum(work[order])
    return order[: int(np.searchsorted(done, HOT_SHARE * work.sum())) + 1]


def _looked_up(blocks: Sequence[bytes], scheduler: str) -> list[float]:
    """Cycles of each block; NaN where they can't be had."""
    names = [block_hash(block) for block in blocks]
    known = read_cycles(shipped_path(scheduler))
    missing = {name: block for name, block in zip(names, blocks, strict=True) if name not in known}
    if missing and (mca := find_llvm_mca()):
        cache = user_path(scheduler, mca.version)
        kept = read_cycles(cache)
        asked = {name: block for name, block in missing.items() if name not in kept}
        if asked:
            figures = mca.block_cycles(list(asked.values()), scheduler)
            # Read again: another run may have added to it meanwhile.
            kept = read_cycles(cache) | dict(zip(asked, figures.tolist(), strict=True))
            with contextlib.suppress(OSError):  # a cache that can't be written costs time, nothing else
                write_cycles(cache, kept, scheduler=scheduler, version=mca.version)
        known |= kept
    return [known.get(name, math.nan) for name in names]

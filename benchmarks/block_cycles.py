"""Cycles of basic blocks by llvm-mca beside the port model's, weighted by how often each block ran.

    python benchmarks/block_cycles.py pi4 mobilenet_v1_1.0_224 ...     # names of published_models.py

Where the two disagree, one of them is wrong about a kernel: the functions with the largest difference are shown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.decode import count_classes
from armopt.core.device import CoreKind
from armopt.latency import ports
from armopt.latency.cycles import block_cycles


@dataclass(frozen=True)
class Comparison:
    """Cycles of all that ran: llvm-mca gave those of the `by_mca` share of instructions, ports the others of both."""

    instructions: int
    ports_cycles: float
    mca_cycles: float
    by_mca: float
    by_function: dict[str, tuple[float, float]]  # ports and llvm-mca, largest difference first

    @property
    def ratio(self) -> float:
        """llvm-mca / ports."""
        return self.mca_cycles / self.ports_cycles


def compare(
    blocks: Sequence[bytes], executions: NDArray[np.int64], core: CoreKind, functions: Sequence[str] = ()
) -> Comparison:
    """Both models on the blocks of one run.

    Args:
        blocks: instruction words of each block.
        executions: (blocks,) how often each ran.
        core: with a `scheduler`, else there is nothing to compare.
        functions: (blocks,) the function each lies in, where known.
    """
    classes = count_classes(blocks)
    mca = block_cycles(blocks, executions, core)
    both = np.stack([ports.block_cycles(classes, core), mca.cycles], axis=1) * executions[:, None]
    sums: dict[str, NDArray[np.float64]] = {}
    for name, cycles in zip(functions, both, strict=bool(functions)):
        sums[name] = sums.get(name, np.zeros(2)) + cycles
    ordered = sorted(sums.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
    total = both.sum(axis=0)
    return Comparison(
        instructions=int(executions @ classes.sum(axis=1)),
        ports_cycles=float(total[0]),
        mca_cycles=float(total[1]),
        by_mca=mca.sources["llvm-mca"],
        by_function={name: (float(cycles[0]), float(cycles[1])) for name, cycles in ordered},
    )


def main(board_name: str, models: Sequence[str]) -> None:
    """Print one line a model, and its functions with the largest difference."""
    from published_counts import counts_of

    from armopt.catalog.devices import find_device

    board = find_device(board_name)
    files = [(name, dtype) for name in models for dtype in ("fp32", "int8")]
    for file, counts in counts_of(board, "xnnpack", files).items():
        found = compare(counts.blocks, counts.block_executions, board.core, counts.functions)
        print(
            f"{' '.join(file):30} {found.instructions / 1e6:8.1f} M instructions; cycles: ports"
            f" {found.ports_cycles / 1e6:7.1f} M, llvm-mca {found.mca_cycles / 1e6:7.1f} M, ratio {found.ratio:.3f};"
            f" by llvm-mca {found.by_mca:.4f}"
        )
        for name, (by_ports, by_mca) in list(found.by_function.items())[:4]:
            print(f"    {name or '(no symbol)':80} {by_ports / 1e6:7.1f} {by_mca / 1e6:7.1f}  {by_mca / by_ports:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

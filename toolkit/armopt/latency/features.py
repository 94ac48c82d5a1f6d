"""Counts -> what the latency model is linear in: cycles by how they are shared among threads, lines, operators."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.calibration import Kernels, Numbers
from armopt.core.counts import LINE_BYTES, Counts
from armopt.core.device import BoardKind
from armopt.latency.cycles import block_cycles

# Functions that every thread runs on its share of the operator: XNNPACK's micro-kernels and the loops that call them,
# ruy's, gemmlowp's and Eigen's matrix products with their packing, depthwise convolutions.
_PARALLEL = re.compile(r"^xnn_|^ruy::|gemm|[Gg]emv|Eigen::internal::gebp|[Dd]epthwise")
_MATRIX = re.compile(r"gemm|[Gg]emv|^ruy::Kernel|Eigen::internal::gebp")
# Functions that lay a picture's patches out as rows of a matrix, which one thread does.
_IM2COL = re.compile(r"[Ii]m2col|ExtractPatch")
_INTEGER_MACS = ("int_mac_long", "int_mac", "dot", "i8mm")


@dataclass(frozen=True)
class Features:
    """One inference, (segments,) each.

    Attributes:
        matrix: cycles of matrix products and convolutions as such, which all threads share.
        parallel: cycles of other functions that all threads share: depthwise convolutions, elementwise, packing.
        serial: cycles of functions that one thread runs.
        im2col: cycles of functions that one thread runs to lay out patches of a picture.
        misses: lines that the first cache level lacked.
        lines: lines that crossed the last cache level, in and out.
        operators: 1 where an operator began, else 0.
        numbers: what the model mostly multiplies.
        kernels: whose kernels ran.
        sources: share of the instructions whose cycles came from llvm-mca and from the port model.
    """

    matrix: NDArray[np.float64]
    parallel: NDArray[np.float64]
    serial: NDArray[np.float64]
    im2col: NDArray[np.float64]
    misses: NDArray[np.float64]
    lines: NDArray[np.float64]
    operators: NDArray[np.float64]
    numbers: Numbers
    kernels: Kernels
    sources: dict[str, float]

    @property
    def cycles(self) -> NDArray[np.float64]:
        """(segments,) cycles before calibration."""
        return self.matrix + self.parallel + self.serial + self.im2col

    def design(self, device: BoardKind, *, threads: int, freq_mhz: int) -> NDArray[np.float64]:
        """(segments, terms) ms that one unit of each term of `core.calibration.Terms` gives, in its order."""
        share = max(1, min(threads, device.cpu.cores))
        per_ms = freq_mhz * 1e3
        return np.stack(
            [
                self.matrix / share / per_ms,
                self.parallel / share / per_ms,
                self.serial / per_ms,
                self.im2col / per_ms,
                self.misses / share * 1e-6,
                # A copy of one byte moves two.
                self.lines * LINE_BYTES / (2 * device.memory.copy_rate(share) * 1e6),
                self.operators * 1e-3,
            ],
            axis=1,
        )


def features_of(counts: Counts, device: BoardKind) -> Features:
    """The features of a counted inference on a board's core.

    Raises:
        DeviceError: llvm-mca is there and failed.
    """
    found = block_cycles(counts.blocks, counts.block_executions, device.core)

    def named(pattern: re.Pattern[str]) -> NDArray[np.bool_]:
        return np.array([bool(pattern.search(name)) for name in counts.functions], bool)

    im2col = named(_IM2COL)
    matrix = named(_MATRIX) & ~im2col
    parallel = named(_PARALLEL) & ~im2col & ~matrix

    def spent(which: NDArray[np.bool_]) -> NDArray[np.float64]:
        cycles: NDArray[np.float64] = counts.executions[:, which] @ found.cycles[which]
        return cycles

    return Features(
        matrix=spent(matrix),
        parallel=spent(parallel),
        serial=spent(~matrix & ~parallel & ~im2col),
        im2col=spent(im2col),
        misses=counts.misses(0).astype(np.float64),
        lines=counts.traffic(-1).astype(np.float64),
        operators=np.array([start != "" for start in counts.starts], np.float64),
        numbers=_numbers(counts),
        kernels="xnnpack" if "xnnpack" in counts.starts else "builtin",
        sources=found.sources,
    )


def _numbers(counts: Counts) -> Numbers:
    by_class = counts.by_class()
    integers = sum(by_class.get(name, 0) for name in _INTEGER_MACS)
    return "integer" if integers > by_class.get("fp_mac", 0) else "float"

"""Kernels for which the latency model knows no board's figures, though it can add up their cycles.

Calibrations are fitted on dense float32 and INT8 networks (docs/latency-model.md). Sparse kernels read activations in
another order and half-precision kernels move half the bytes: what the model says of them has no known error.
"""

from __future__ import annotations

import re

import numpy as np

from armopt.core.counts import Counts

# XNNPACK's names: sparse times dense matrix, and the convolutions that hand it rows of one channel (chw).
_SPARSE = re.compile(r"^xnn_f(32|16)_(spmm|conv_hwc2chw|dwconv2d_chw)_")
_HALF = re.compile(r"^xnn_f16_")
# A convolution at the edge of a network may run so without being what takes the time.
_SHARE = 0.05


def why_uncalibrated(counts: Counts) -> str | None:
    """Why a modelled latency has no interval, as a sentence without a full stop; None where it has one."""
    for pattern, words in ((_SPARSE, "that skip zero weights"), (_HALF, "in half precision")):
        share = _executed(counts, pattern) / max(1, counts.instructions)
        if share > _SHARE:
            return (
                f"none: {share:.0%} of the instructions ran in kernels {words}, for which no board's figures are known"
            )
    return None


def sparse_instructions(counts: Counts) -> int:
    """Instructions of kernels that run only where XNNPACK took a model's sparse path."""
    return _executed(counts, _SPARSE)


def _executed(counts: Counts, pattern: re.Pattern[str]) -> int:
    lengths = np.array([len(block) // 4 for block in counts.blocks], np.int64)
    chosen = np.array([bool(pattern.search(name)) for name in counts.functions], bool)
    return int((lengths * counts.block_executions)[chosen].sum())

from __future__ import annotations

import numpy as np
import pytest

from armopt.core.counts import Counts
from armopt.latency.uncalibrated import sparse_instructions, why_uncalibrated

SPARSE, HALF = "xnn_f32_spmm_minmax_ukernel_32x1__neonfma_pipelined", "xnn_f16_gemm_minmax_ukernel_6x16__neonfp16arith"
DENSE = "xnn_f32_gemm_minmax_ukernel_4x8__asm_aarch64_neonfma_cortex_a75_prfm"


def counts(**executions: int) -> Counts:
    """Blocks of two instructions, executed so often in each function."""
    return Counts(
        blocks=(b"\x1f\x20\x03\xd5" * 2,) * len(executions),
        functions=tuple({"sparse": SPARSE, "half": HALF, "dense": DENSE}[name] for name in executions),
        starts=("", "xnnpack"),
        executions=np.array([[0] * len(executions), list(executions.values())], np.int64),
        moved_bytes=np.zeros((2, 2), np.int64),
        lines=np.zeros((2, 0, 2), np.int64),
    )


@pytest.mark.parametrize(("kernels", "word"), [({"sparse": 60}, "skip zero weights"), ({"half": 60}, "half precision")])
def test_kernels_without_any_boards_figures_are_named_with_their_share(kernels: dict[str, int], word: str) -> None:
    reason = why_uncalibrated(counts(dense=40, **kernels))
    assert reason is not None and "60%" in reason and word in reason


def test_dense_float_kernels_are_known_and_so_is_a_model_that_hardly_runs_others() -> None:
    assert why_uncalibrated(counts(dense=100)) is None
    assert why_uncalibrated(counts(dense=100, half=4)) is None


def test_instructions_that_skip_zeros_are_counted() -> None:
    assert sparse_instructions(counts(dense=40, sparse=60)) == 120
    assert sparse_instructions(counts(dense=40, half=60)) == 0

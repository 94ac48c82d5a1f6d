"""Are a device's outputs the host interpreter's? And if not, what differs and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def compare(
    got: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]], steps: Sequence[float]
) -> tuple[bool, str | None]:
    """Compare outputs bit by bit.

    Args:
        got: the device's outputs, one array per model output, first axis the samples.
        expected: the host's, likewise.
        steps: the quantisation step (scale) of each output, 0.0 for float outputs.

    Returns:
        Whether all bits are equal, and else one sentence: how many values differ, by how much at most, and why that
        happens. x86 and Arm kernels of XNNPACK round a requantised value, and add up floats, in different orders.
    """
    if len(got) != len(expected) or any(a.shape != b.shape for a, b in zip(got, expected, strict=False)):
        shapes = [list(array.shape) for array in got], [list(array.shape) for array in expected]
        return False, f"outputs of shapes {shapes[0]}, the host's are {shapes[1]}"
    findings = [_difference(position, *pair) for position, pair in enumerate(zip(got, expected, steps, strict=True))]
    found = [finding for finding in findings if finding]
    return not found, "; ".join(found) or None


def _difference(position: int, got: NDArray[Any], expected: NDArray[Any], step: float) -> str | None:
    if got.dtype == expected.dtype and got.tobytes() == expected.tobytes():
        return None
    differs = (got != expected) & ~(np.isnan(got) & np.isnan(expected)) if got.dtype.kind == "f" else got != expected
    share = f"output {position}: {int(np.count_nonzero(differs))} of {got.size} values differ"
    if got.dtype.kind == "f":
        gap = np.abs(got.astype(np.float64) - expected.astype(np.float64))
        largest = float(np.nanmax(gap)) if gap.size else 0.0
        scale = float(np.nanmax(np.abs(expected))) if expected.size else 0.0
        return f"{share}, by at most {largest:.3g} (largest value {scale:.3g}): float sums are taken in another order"
    gap = np.abs(got.astype(np.int64) - expected.astype(np.int64))
    reason = "the two architectures' kernels round requantisation differently"
    return f"{share}, by at most {int(gap.max())} steps of {step:.3g}: {reason}"

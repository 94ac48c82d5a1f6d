"""Why an operator costs something else than before, in words."""

from __future__ import annotations

from armopt.core.comparison_record import Cause, OperatorChange, OperatorSide
from armopt.show import figures
from armopt.show.kernels import short_kernel, short_shape
from armopt.show.operators import WORDS_OF_BOUND
from armopt.show.text import clean

_NAME = 40


def why(change: OperatorChange) -> str:
    """'1.2 M multiplications, were 590 k; kernel gemm 4x8, was igemm 2x8c8 mlal'."""
    if change.shown.index is None:
        return "around the operators"
    return "; ".join(_words(cause, change.before, change.after) for cause in change.causes)


def place(change: OperatorChange) -> str:
    """Where it stands: '#4', '#4 (was #3)', '(was #3)'; '' for the row 'runtime'."""
    numbers = [None if side is None else side.index for side in (change.before, change.after)]
    if numbers[0] is None or numbers[0] == numbers[1]:
        return "" if numbers[1] is None else f"#{numbers[1]}"
    return f"(was #{numbers[0]})" if numbers[1] is None else f"#{numbers[1]} (was #{numbers[0]})"


def _words(cause: Cause, before: OperatorSide | None, after: OperatorSide | None) -> str:
    if cause == "new":
        return "new operator"
    if cause == "gone":
        return "no longer there"
    assert before is not None and after is not None
    if cause == "work":
        counts = ["unknown" if side.macs is None else figures.count(side.macs) for side in (after, before)]
        return f"{counts[0]} multiplications, were {counts[1]}"
    if cause == "shape":
        return f"output {short_shape(after.shape)}, was {short_shape(before.shape)}"
    if cause == "run":
        return "runs by itself now" if after.instructions else "fused or left out now"
    if cause == "delegate":
        return f"run by {clean(after.run_by or 'nobody', _NAME)}, was by {clean(before.run_by or 'nobody', _NAME)}"
    if cause == "kernel":
        return f"kernel {short_kernel(after.kernel)}, was {short_kernel(before.kernel)}"
    if cause == "bound":
        return f"limited by {_bound(after.bound)}, was by {_bound(before.bound)}"
    return "the same work and kernel"


def _bound(name: str | None) -> str:
    return "nothing known" if name is None else clean(WORDS_OF_BOUND.get(name, name), _NAME)

"""Names of kernels and shapes, short enough for a table."""

from __future__ import annotations

import re

from armopt.core.records import OperatorTime
from armopt.show.text import clean

_XNNPACK = re.compile(
    r"xnn_(?:(?:[a-z]{1,2}\d+[a-z]*|xx)_)*(?P<name>[a-z]\w*?)(?:_minmax)?(?:_fp32|_rndnu(?:16)?)?_ukernel"
    r"(?:_(?P<tile>[0-9]\w*?))?(?:__(?P<way>\w+))?$"
)
# Of the instructions that a kernel is written in only those that decide its speed: all kernels are NEON's.
_WAY = re.compile(r"neon_?(mlal|fma|dot|i8mm)|(scalar)|(sve|sme)")


def short_kernel(name: str | None) -> str:
    """'xnn_qs8_qc8w_igemm_minmax_fp32_ukernel_2x8c8__asm_aarch64_neon_mlal_prfm' -> 'igemm 2x8c8 mlal'.

    Of a C++ name its last scope stays; None is '-'.
    """
    if name is None:
        return "-"
    if name.startswith("_Z"):  # generated code around a function that has no name of its own
        return "nameless"
    if match := _XNNPACK.match(name):
        way = _WAY.search(match["way"] or "")
        parts = [match["name"], match["tile"] or "", way[way.lastindex or 0] if way else ""]
        return clean(" ".join(part for part in parts if part), 40)
    return clean(name.rsplit("::", 1)[-1], 40)


def short_shape(shape: tuple[int, ...]) -> str:
    """(1, 112, 112, 96) -> '112x112x96': a leading 1 is the batch."""
    sizes = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    return "x".join(map(str, sizes))


def numbered(operator: OperatorTime) -> str:
    """'#61', by which a row is referred to."""
    return "" if operator.index is None else f"#{operator.index}"

"""The forms of the latency model that are fitted, and rows with what such a form makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from latency_fit import Array, Row, Shape, by_family, fit, left_out
from latency_rows import Group

from armopt.core.calibration import Terms

_MATRIX, _PARALLEL, _SERIAL, _IM2COL, _MISS, _LINE, _OPERATOR = range(len(Terms.model_fields))
_OTHER = (_PARALLEL, _SERIAL, _IM2COL)
_PULL = 0.03
# What could be in the model of one thread. Without figures: a core is 10% slower than its blocks' steady state and 30%
# where loops are short, half a nanosecond of a first-level miss and a fifth of what a line takes at the copy rate are
# not hidden behind other work, an operator costs a microsecond.
_PRIOR = {"cycles": 1.1, "matrix": 1.1, "other cycles": 1.3, "misses": 0.5, "lines": 0.2, "operators": 1.0}
_COLUMNS = {
    "cycles": (_MATRIX, _PARALLEL, _SERIAL, _IM2COL), "matrix": (_MATRIX,), "other cycles": _OTHER,
    "misses": (_MISS,), "lines": (_LINE,), "operators": (_OPERATOR,),
}  # fmt: skip


def shape_of(*terms: str) -> Shape:
    """The form with these terms, each drawn to what it would be without figures."""
    columns, prior = tuple(_COLUMNS[term] for term in terms), tuple(_PRIOR[term] for term in terms)
    return Shape(", ".join(terms), columns, prior, _PULL)


CANDIDATES = (
    shape_of("cycles"),
    shape_of("cycles", "misses"),
    shape_of("matrix", "other cycles"),
    shape_of("matrix", "other cycles", "misses"),
    shape_of("matrix", "other cycles", "operators"),
    shape_of("matrix", "other cycles", "misses", "lines"),
    shape_of("matrix", "other cycles", "misses", "lines", "operators"),
)
ONE_THREAD = CANDIDATES[5]
# Four threads with ruy's kernels: lines and operators count in full. What laying out a float picture's patches costs
# is left to the figures: far more than its cycles.
_FOUR = ((_MATRIX, _PARALLEL), (_SERIAL,), (_IM2COL,), (_MISS,), (_LINE,), (_OPERATOR,))
RUY_SHAPES = {
    "float": Shape("float", _FOUR, (1.4, 1.4, 0.0, 1.0, 1.0, 10.0), 0.02),
    "integer": Shape("integer", _FOUR, (1.4, 1.4, 1.4, 1.0, 1.0, 10.0), 0.02),
}
FEW = 8  # rows below which data are few
FEW_WIDER = 1.5  # and the power of the width by which an interval widens then


@dataclass(frozen=True)
class Judged:
    """A group's rows and what the model makes of them."""

    group: Group
    title: str
    rows: list[Row]
    shape: Shape

    @property
    def by_family(self) -> Array:
        """Predicted over published, each family left out in turn."""
        return left_out(self.shape, self.rows, by_family)

    @property
    def coefficients(self) -> Array:
        """Fitted on all rows."""
        return fit(self.shape, self.rows)


def together(parts: list[Judged]) -> tuple[list[Row], Array]:
    """All rows of several groups, and predicted over published of each, its family left out."""
    return [row for part in parts for row in part.rows], np.concatenate([part.by_family for part in parts])


def of_numbers(numbers: str, rows: list[Row]) -> list[Row]:
    """The rows of float models, or of 8-bit ones."""
    return [row for row in rows if (row.dtype == "fp32") == (numbers == "float")]

"""Turns counts into milliseconds on a core, and says how far off that may be: what the calibration benchmark fits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from armopt.core.records import Record

Kernels = Literal["xnnpack", "builtin"]
"""Whose kernels run: XNNPACK's, or the runtime's own (ruy)."""
Numbers = Literal["float", "integer"]
"""What a model mostly multiplies."""


class Terms(Record):
    """Coefficients of the model's equation (docs/latency-model.md), in the order of `Features.design`.

    The core's modelled cycles count with `matrix`, `parallel`, `serial` and `im2col`, depending on what they are for;
    `miss_ns` is added per line that the first cache level lacks, `line` times what a line takes at the board's copy
    rate per line that crosses the last level, `operator_us` per operator.
    """

    matrix: float = Field(ge=0)
    parallel: float = Field(ge=0)
    serial: float = Field(ge=0)
    im2col: float = Field(ge=0)
    miss_ns: float = Field(ge=0)
    line: float = Field(ge=0)
    operator_us: float = Field(ge=0)


class Calibration(Terms):
    """Terms for one way of running models, and the interval around what they predict.

    `low` and `high` multiply the predicted p50: 90% of boards' figures are expected between.
    """

    kernels: Kernels
    numbers: tuple[Numbers, ...] = ("float", "integer")
    threads: tuple[int, int] = Field(description="from and to how many threads it holds")
    low: float = Field(gt=0, le=1)
    high: float = Field(ge=1)
    rows: int = Field(ge=0, description="published figures of this core that it was fitted on")
    source: str
    interval_source: str

    @model_validator(mode="after")
    def _threads_in_order(self) -> Calibration:
        if not 1 <= self.threads[0] <= self.threads[1]:
            raise ValueError("threads: from and to, 1 at least")
        return self


def choose(calibrations: tuple[Calibration, ...], kernels: Kernels, numbers: Numbers, threads: int) -> Calibration:
    """The calibration for that way of running: same kernels and numbers, nearest number of threads.

    Where none is for those kernels (or numbers), the nearest of the others is taken: see `stretched`.
    """

    def distance(one: Calibration) -> tuple[bool, bool, int]:
        outside = max(one.threads[0] - threads, threads - one.threads[1], 0)
        return one.kernels != kernels, numbers not in one.numbers, outside

    return min(calibrations, key=distance)

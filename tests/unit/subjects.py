"""Subjects and operators that never were, for tests of comparing."""

from __future__ import annotations

from typing import Any

import numpy as np

from armopt.core.comparison_record import OperatorSide
from armopt.core.records import Metric
from armopt.core.subject import Scored, Setting, Subject

EMULATED = Setting(
    device="pi4", evidence="modelled", threads=1, runtime="litert 2.1.6", kernels="xnnpack", freq_mhz=1800
)
ON_BOARD = Setting(device="pi4", evidence="measured", threads=1, runtime="litert 2.1.6", kernels="xnnpack")


def side(index: int | None, kind: str = "CONV_2D", instructions: int = 100_000, **more: Any) -> OperatorSide:
    known: dict[str, Any] = {
        "name": f"model/layer_{index}", "shape": (1, 8, 8, 16), "macs": instructions, "kernel": "igemm",
        "run_by": "xnnpack", "bound": "multiply", "latency_ms": instructions / 1e6,
    }  # fmt: skip
    return OperatorSide(index=index, kind=kind, instructions=instructions, **{**known, **more})


def emulated(operators: tuple[OperatorSide, ...] | None = None, **more: Any) -> Subject:
    total = sum(each.instructions for each in operators or ())
    known: dict[str, Any] = {
        "model": "net", "setting": EMULATED, "instructions": total or 300_000, "latency_ms": (total or 300_000) / 1e6,
        "error_known": True, "operators": operators, "gz_bytes": 10_000,
    }  # fmt: skip
    return Subject(**{**known, **more})


def series(random: np.random.Generator, count: int, level_ms: float, correlation: float = 0.0) -> list[float]:
    """Values of 3% coefficient of variation, each correlated so with the one before."""
    steps = random.standard_normal(count)
    values = [steps[0]]
    for step in steps[1:]:
        values.append(correlation * values[-1] + (1 - correlation**2) ** 0.5 * step)
    return [float(level_ms * (1 + 0.03 * value)) for value in values]


def timed(values: list[float], **more: Any) -> Subject:
    """A subject of a board, one inference a round."""
    known: dict[str, Any] = {
        "model": "net", "setting": ON_BOARD, "latency_ms": float(np.median(values)), "error_known": True,
        "rounds": tuple((value,) for value in values),
    }  # fmt: skip
    return Subject(**{**known, **more})


def scored(value: float, samples: int | None = 1000, **more: Any) -> Scored:
    return Scored(**{"metric": Metric(name="accuracy"), "value": value, "samples": samples, "data": "digits", **more})

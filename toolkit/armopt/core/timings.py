"""Timings of the calibration shapes, as a board's `timings.json` tells them. The file may come from anywhere."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from armopt.core.calibration import Kernels
from armopt.core.records import Record

ProbeNumbers = Literal["float", "int8"]
PROBE_NUMBERS: tuple[ProbeNumbers, ...] = get_args(ProbeNumbers)

# Far above what measure.py writes, and little enough to be read and fitted at once.
_MOST_TIMINGS, _MOST_PROCESSES, _MOST_RUNS = 512, 32, 1000

_Word = Annotated[str, Field(max_length=80)]
_Ms = Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)]
_Mhz = Annotated[float, Field(gt=0, lt=1e5, allow_inf_nan=False)]
_Runs = Annotated[tuple[_Ms, ...], Field(min_length=1, max_length=_MOST_RUNS)]


def probe_name(shape: str, numbers: ProbeNumbers) -> str:
    """'dense-int8', the name of a shape's file in a number format."""
    return f"{shape}-{numbers}"


def shape_of(probe: str) -> str:
    """'dense-int8' -> 'dense'."""
    return probe.rpartition("-")[0]


class SeenCpu(Record):
    """A CPU as /proc/cpuinfo shows it."""

    implementer: int = Field(ge=0, le=0xFF)
    part: int = Field(ge=0, le=0xFFF)


class ProbeTiming(Record):
    """One shape with one number of threads: ms of each timed inference, one list a process."""

    probe: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the file that ran")
    threads: int = Field(ge=1, le=1024)
    raw_ms: tuple[_Runs, ...] = Field(min_length=1, max_length=_MOST_PROCESSES)


class BoardTimings(Record):
    """All timings of one board, and what it says of itself."""

    format: Literal[1]
    device: _Word = Field(description="the board kind that the shapes were exported for")
    machine: _Word = Field(description="as `uname -m` says it")
    system: _Word = ""
    runtime: str = Field(pattern=r"^(litert|tflite-runtime) [0-9A-Za-z.+-]{1,40}$")
    numpy: _Word = ""
    kernels: Kernels
    cpus: tuple[SeenCpu, ...] = Field(max_length=1024, description="those that the timings ran on")
    governor: _Word | None = None
    lowest_mhz: _Mhz | None = Field(None, description="of all clocks read just after timing")
    highest_mhz: _Mhz | None = None
    timings: tuple[ProbeTiming, ...] = Field(min_length=1, max_length=_MOST_TIMINGS)

    @model_validator(mode="after")
    def _each_once(self) -> BoardTimings:
        names = [(timing.probe, timing.threads) for timing in self.timings]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"timings: {twice[0][0]} with {twice[0][1]} threads is there twice")
        return self

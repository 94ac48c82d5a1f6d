"""Rounds of timing on a board, each a fresh process that warms up and times inferences; and slices of a long one."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from armopt.core.records import Record

_Ms = Annotated[float, Field(ge=0, lt=1e7, allow_inf_nan=False)]
_Celsius = Annotated[float, Field(gt=-100, lt=300, allow_inf_nan=False)]
_Mhz = Annotated[float, Field(ge=0, lt=1e5, allow_inf_nan=False)]


class Slice(Record):
    """A stretch of a run without pauses: when it ended, since the start, and what was seen at its end."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index: int = Field(ge=0, lt=1_000_000)
    seconds: float = Field(ge=0, lt=1e7, allow_inf_nan=False)
    runs: int = Field(ge=1, lt=1 << 40)
    raw_ms: tuple[_Ms, ...] = Field(min_length=1, max_length=10_000, description="every so many inferences of `runs`")
    temperature_c: _Celsius | None = None
    mhz: _Mhz | None = None
    throttled: bool | None = None


class Round(Record):
    """What a round said of itself; pairs are before and after timing, None where the kernel does not tell."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    runtime: str = Field(pattern=r"^(litert|tflite-runtime) [0-9A-Za-z.+-]{1,40}$")
    numpy: str = Field("", max_length=40)
    raw_ms: tuple[_Ms, ...] = Field(min_length=1, max_length=1_000_000, description="of each timed inference")
    load_ms: _Ms | None = Field(None, description="reading the model and preparing its kernels")
    peak_memory_kib: int | None = Field(None, ge=0, lt=1 << 40)
    temperature_c: tuple[_Celsius | None, _Celsius | None] = (None, None)
    mhz: tuple[_Mhz | None, _Mhz | None] = (None, None)
    throttled: bool | None = None
    governor: str | None = Field(None, max_length=80)

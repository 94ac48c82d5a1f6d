"""Records that travel between rooms and into `result.json`. Frozen; units are in the names; what was not observed is None."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Evidence = Literal["measured", "modelled", "estimated", "functional"]
RunnerName = Literal["ssh", "local", "qemu", "vela", "fvp"]
VerdictName = Literal["met", "missed", "inconclusive", "unstable"]


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Latency(Record):
    """Latency of one inference in milliseconds. A modelled figure has `p50` only; the rest are None."""

    p50: float
    p90: float | None = None
    p95: float | None = None
    max: float | None = None
    runs: int | None = Field(None, description="number of timed inferences; None where nothing was timed")


class Measurement(Record):
    """One artifact on one device: what was observed, and how well it is known."""

    device: str
    runner: RunnerName
    evidence: Evidence
    runtime: str = Field(description="runtime and version, for example 'litert 2.1.6'")
    threads: int
    freq_mhz: int
    latency_ms: Latency | None = None
    interval_ms: tuple[float, float] | None = Field(None, description="interval of a modelled or estimated p50")
    interval_source: str | None = Field(None, description="where the width of the interval comes from")
    instructions: int | None = Field(None, description="instructions per inference, counted under emulation")
    instruction_classes: dict[str, int] | None = None
    cycles: int | None = Field(None, description="modelled cycles per inference")
    raw_ms: tuple[float, ...] = ()
    outputs_compared: int = Field(0, description="samples whose device output was compared with the host interpreter's")
    outputs_equal: bool | None = None
    output_difference: str | None = Field(None, description="what differs and by how much, where outputs are not equal")
    environment: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(description="wall time that this measurement took on the host")

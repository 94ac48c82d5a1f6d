"""What one document says of one model on one device, as far as another one can be compared with it. Pure."""

from __future__ import annotations

from pydantic import Field

from armopt.core.comparison_record import OperatorSide
from armopt.core.errors import UsageError
from armopt.core.record import Record
from armopt.core.records import Evidence, Measurement, Metric, Percentile


class Setting(Record):
    """How figures came about; None where a document does not say. Figures of different settings say nothing."""

    device: str | None = None
    evidence: Evidence | None = None
    threads: int | None = None
    runtime: str | None = Field(None, description="with its version")
    kernels: str | None = None
    freq_mhz: int | None = Field(None, description="of an emulated board; a real one's varies while it works")


class Scored(Record):
    """A metric, of the .tflite on a test set."""

    metric: Metric
    value: float
    samples: int | None = None
    data: str = Field("", description="what the test set is of; '' where it is not known")


class Subject(Record):
    """A model on a device."""

    model: str
    setting: Setting
    host: str | None = None
    latency_ms: float | None = Field(None, description="at `percentile`")
    percentile: Percentile = "p50"
    error_known: bool = Field(False, description="whether the latency has an interval")
    rounds: tuple[tuple[float, ...], ...] = Field((), description="ms of every timed inference, a list a process")
    unstable_reason: str | None = None
    fallback: tuple[str, ...] = Field((), description="operators that an Ethos-U leaves to the CPU")
    instructions: int | None = None
    operators: tuple[OperatorSide, ...] | None = None
    gz_bytes: int | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    scored: Scored | None = None


def setting_of(found: Measurement) -> Setting:
    """How a measurement came about."""
    return Setting(
        device=found.device,
        evidence=found.evidence,
        threads=found.threads,
        runtime=found.runtime,
        kernels=found.environment.get("kernels"),
        freq_mhz=found.freq_mhz if found.runner == "qemu" else None,
    )


def operators_of(found: Measurement) -> tuple[OperatorSide, ...] | None:
    """The operators of a measurement; on an Ethos-U by cycles of the NPU. None where they were not asked for."""
    if found.npu is not None and found.npu_layers is not None:
        clock_khz = found.npu.clock_mhz * 1e3
        return tuple(
            OperatorSide(
                index=layer.index,
                kind=layer.kind,
                name=layer.name,
                shape=layer.shape,
                macs=layer.macs,
                kernel=None,
                run_by="cpu" if layer.on_cpu else "npu",
                bound=layer.bound,
                instructions=layer.cycles,
                latency_ms=layer.cycles / clock_khz,
            )
            for layer in found.npu_layers
            if layer.index is not None
        )
    if found.operators is None:
        return None
    fields = OperatorSide.model_fields
    return tuple(OperatorSide(**{name: getattr(each, name) for name in fields}) for each in found.operators)


_WORDS = {
    "device": "device",
    "evidence": "evidence",
    "threads": "threads",
    "runtime": "runtime",
    "kernels": "kernels",
    "freq_mhz": "MHz",
}
_MEND = {
    "device": "name that device, or make a baseline of this one",
    "evidence": "measure both on a board, or emulate both with --emulate",
    "threads": "give the same --threads to both",
    "runtime": "make the baseline again with this runtime",
    "kernels": "give the same --kernels to both",
    "freq_mhz": "give the same --freq to both",
}


def require_alike(baseline: Setting, now: Setting) -> None:
    """Refuse to compare figures that came about differently; what one of the two does not say is let pass.

    Raises:
        UsageError: they differ; it names in what.
    """
    sides = {name: (getattr(baseline, name), getattr(now, name)) for name in _WORDS}
    differing = [name for name, (one, other) in sides.items() if None not in (one, other) and one != other]
    if differing:
        told = ", ".join(f"{_WORDS[name]} ({getattr(baseline, name)}, not {getattr(now, name)})" for name in differing)
        raise UsageError(f"the baseline differs in {told}", _MEND[differing[0]])


def not_said(baseline: Setting, now: Setting) -> list[str]:
    """In what the baseline may differ without saying so."""
    names = ("threads", "runtime")
    return [_WORDS[name] for name in names if getattr(baseline, name) is None and getattr(now, name) is not None]

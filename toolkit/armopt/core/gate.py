"""The gate: observed figures against a target. Pure; says met, missed or inconclusive for each limit and why."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from armopt.core.npu import NpuEstimate
from armopt.core.records import Latency, Measurement, Metric, Percentile, Record, VerdictName
from armopt.core.target import Target

# From the weakest to the strongest: functional runs prove that a model runs, a board proves how fast.
EVIDENCE_ORDER = ("functional", "estimated", "modelled", "measured")


class Observed(Record):
    """The figures of one leaf that a target can speak of; None where nothing was observed."""

    metric: float | None = None
    source_metric: float | None = None
    gz_bytes: int | None = None
    instructions: int | None = None
    latency_ms: Latency | None = None
    interval_ms: tuple[float, float] | None = None
    percentile: Percentile = Field("p50", description="what the interval speaks of")
    unstable_reason: str | None = None
    evidence: str | None = None
    npu: NpuEstimate | None = None

    @classmethod
    def by(cls, measured: Measurement, **further: Any) -> Observed:
        """What was measured, and further figures of the leaf."""
        shared = ("instructions", "latency_ms", "interval_ms", "percentile", "unstable_reason", "evidence", "npu")
        return cls(**{name: getattr(measured, name) for name in shared}, **further)


class Check(Record):
    """One limit: criterion (`latency`, `instructions`, `size`, `sram`, `flash`, `accuracy`), verdict, why in words."""

    criterion: str
    verdict: VerdictName
    reason: str


class Judgement(Record):
    """The verdict over all checks; None where the target asks for nothing."""

    verdict: VerdictName | None
    checks: tuple[Check, ...]

    @property
    def reason(self) -> str:
        """The checks that decided, in words; all of them where everything was met."""
        deciding = [check for check in self.checks if check.verdict == self.verdict]
        return "; ".join(check.reason for check in deciding)

    @property
    def missed(self) -> frozenset[str]:
        """Criteria whose limit was missed."""
        return frozenset(check.criterion for check in self.checks if check.verdict == "missed")


def judge(target: Target, observed: Observed, metric: Metric) -> Judgement:
    """Hold a leaf's figures against the target.

    One missed limit misses the target, else one inconclusive limit leaves it inconclusive.
    """
    checks = [
        check
        for check in (
            _latency(target, observed),
            _instructions(target, observed),
            _size(target, observed),
            _sram(target, observed),
            _flash(target, observed),
            _accuracy(target, observed, metric),
            _drop(target, observed, metric),
        )
        if check is not None
    ]
    verdicts = {check.verdict for check in checks}
    for verdict in ("missed", "unstable", "inconclusive", "met"):
        if verdict in verdicts:
            return Judgement(verdict=verdict, checks=tuple(checks))
    return Judgement(verdict=None, checks=())


def _latency(target: Target, observed: Observed) -> Check | None:
    limit = target.max_latency_ms
    if limit is None:
        return None
    asked = f"{limit:g} ms at {target.percentile}"
    if target.evidence is not None and _weaker(observed.evidence, target.evidence):
        return _check(
            "latency",
            "inconclusive",
            f"latency is {observed.evidence or 'unknown'}, the target demands {target.evidence}",
        )
    if observed.npu is not None:
        return _estimated(target, observed.npu, limit, asked)
    if observed.evidence == "functional" or observed.latency_ms is None:
        return _check("latency", "inconclusive", f"no latency was observed to hold against {asked}")
    slowest = observed.latency_ms.max
    if target.percentile == "max" and slowest is not None and slowest > limit:
        # One run is all it takes, however few there were and whatever the others did.
        return _check("latency", "missed", f"latency {slowest:.3g} ms at max ({observed.evidence}) over {asked}")
    if observed.unstable_reason is not None:
        return _check("latency", "unstable", f"the measurement is unstable: {observed.unstable_reason}")
    if observed.evidence == "measured":
        return _measured(target.percentile, limit, observed.latency_ms, observed)
    if observed.interval_ms is None:
        return _check(
            "latency",
            "inconclusive",
            f"latency {observed.latency_ms.p50:.3g} ms ({observed.evidence}) has no known error: no board's figures "
            f"are known for the kernels that ran; measure a board to hold it against {asked}",
        )
    if target.percentile != "p50":
        return _check("latency", "inconclusive", f"a {observed.evidence} latency says nothing of {target.percentile}")
    figure = f"latency {observed.latency_ms.p50:.3g} ms"
    return _by_interval(figure, observed.interval_ms, f"{observed.evidence}", limit, asked)


def _estimated(target: Target, npu: NpuEstimate, limit: float, asked: str) -> Check:
    """An NPU compiler's figure has no error that is known, and leaves out the operators that it gives to the CPU."""
    left = npu.fallback_words
    if target.percentile != "p50":
        return _check("latency", "inconclusive", f"an estimated latency says nothing of {target.percentile}")
    if not npu.cycles:
        return _check("latency", "inconclusive", f"the CPU runs all operators ({left or 'none'}): nothing is estimated")
    if left and not target.allow_fallback:
        why = f"the CPU runs {left}, and what that takes is not estimated"
        return _check("latency", "inconclusive", f"{why}; --allow-fallback holds the NPU's part alone against {asked}")
    of = f"the NPU's part alone, without {left} on the CPU" if left else "error not known"
    return _bounded("latency", npu.npu_ms <= limit, f"latency {npu.npu_ms:.3g} ms (estimated, {of})", asked)


def _measured(percentile: Percentile, limit: float, latency: Latency, observed: Observed) -> Check:
    value, asked = getattr(latency, percentile), f"{limit:g} ms at {percentile}"
    if observed.percentile != percentile or observed.interval_ms is None or value is None:
        return _check("latency", "inconclusive", f"too little was measured to hold {percentile} against {limit:g} ms")
    return _by_interval(f"latency {value:.3g} ms at {percentile}", observed.interval_ms, "measured", limit, asked)


def _by_interval(figure: str, interval: tuple[float, float], evidence: str, limit: float, asked: str) -> Check:
    low, high = interval
    figure = f"{figure} ({low:.3g} to {high:.3g}, {evidence})"
    if high <= limit:
        return _check("latency", "met", f"{figure} within {asked}")
    if low > limit:
        return _check("latency", "missed", f"{figure} over {asked}")
    return _check("latency", "inconclusive", f"{figure} straddles {asked}")


def _weaker(have: str | None, want: str) -> bool:
    return have not in EVIDENCE_ORDER or EVIDENCE_ORDER.index(have) < EVIDENCE_ORDER.index(want)


def _instructions(target: Target, observed: Observed) -> Check | None:
    limit, count = target.max_instructions, observed.instructions
    if limit is None:
        return None
    if count is None:
        return _check("instructions", "inconclusive", "instructions were not counted")
    return _bounded("instructions", count <= limit, f"{count:,} instructions", f"{limit:,}")


def _size(target: Target, observed: Observed) -> Check | None:
    limit, size = target.max_gz_bytes, observed.gz_bytes
    if limit is None:
        return None
    if size is None:
        return _check("size", "inconclusive", "the size is not known")
    return _bounded("size", size <= limit, f"{size:,} bytes (gzip)", f"{limit:,}")


def _sram(target: Target, observed: Observed) -> Check | None:
    return _memory("sram", "SRAM", target.max_sram_bytes, observed.npu.sram_bytes if observed.npu else None)


def _flash(target: Target, observed: Observed) -> Check | None:
    return _memory("flash", "flash", target.max_flash_bytes, observed.npu.flash_bytes if observed.npu else None)


def _memory(criterion: str, name: str, limit: int | None, taken: int | None) -> Check | None:
    if limit is None:
        return None
    if taken is None:
        return _check(criterion, "inconclusive", f"how much {name} it takes is not known on this device")
    return _bounded(criterion, taken <= limit, f"{taken:,} bytes of {name}", f"{limit:,}")


def _accuracy(target: Target, observed: Observed, metric: Metric) -> Check | None:
    limit, value = target.min_accuracy, observed.metric
    if limit is None:
        return None
    if value is None:
        return _check("accuracy", "inconclusive", f"{metric.name} was not scored")
    kept = value >= limit if metric.higher_is_better else value <= limit
    return _bounded("accuracy", kept, f"{metric.name} {value:.4g}", f"{limit:.4g}", metric.higher_is_better)


def _drop(target: Target, observed: Observed, metric: Metric) -> Check | None:
    limit, value, source = target.max_drop, observed.metric, observed.source_metric
    if limit is None:
        return None
    if value is None or source is None:
        return _check("accuracy", "inconclusive", f"{metric.name} was not scored")
    drop = metric.drop(source, value)
    if drop <= 0:
        return _check("accuracy", "met", f"{metric.name} does not drop ({value:.4g} against {source:.4g})")
    # A drop is a difference of two means: 1e-9 takes up its rounding, so that a drop of exactly the limit is met.
    return _bounded("accuracy", drop <= limit + 1e-9, f"{metric.name} drops by {drop:.4f}", f"{limit:g}")


def _bounded(criterion: str, kept: bool, figure: str, limit: str, floor: bool = False) -> Check:
    word = ("at least" if kept else "below") if floor else ("within" if kept else "over")
    return _check(criterion, "met" if kept else "missed", f"{figure} {word} {limit}")


def _check(criterion: str, verdict: VerdictName, reason: str) -> Check:
    return Check(criterion=criterion, verdict=verdict, reason=reason)

"""Raw latencies in the order in which a board ran them, and how it went on without a pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from armopt.core.records import Measurement
from armopt.show import figures
from armopt.show.page.figure import Figure, figure
from armopt.show.page.scales import Scale, Tick, percent, scale_of
from armopt.show.text import clean

# Dots that a chart holds; of more values each stretch is drawn by its least, its median and its largest.
_MOST = 1500


@dataclass(frozen=True)
class Dots:
    """Values over time: dots as (x, y), or a line through them."""

    label: str
    dots: tuple[tuple[str, str], ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    x_label: str
    words: str
    starts: tuple[str, ...] = ()
    levels: tuple[tuple[str, str], ...] = ()
    joined: bool = False


@dataclass(frozen=True)
class Timing:
    """What a board showed of one node."""

    path: str
    charts: tuple[Dots, ...]
    facts: tuple[Figure, ...]
    unstable: str


def timing_of(path: str, found: Measurement) -> Timing | None:
    """The raw series of a measurement; None where nothing was timed."""
    rounds = found.rounds or ((found.raw_ms,) if found.raw_ms else ())
    charts = [
        chart for chart in (_raw(rounds, found), *_by_round(rounds, found), *_sustained(found)) if chart is not None
    ]
    if not charts:
        return None
    return Timing(clean(path, 80), tuple(charts), _facts(found), clean(found.unstable_reason or "", 300))


def _raw(rounds: Sequence[Sequence[float]], found: Measurement) -> Dots | None:
    values = [value for one in rounds for value in one]
    scale = scale_of(values, upright=True)
    if scale is None or not values:
        return None
    starts, count = [], 0
    for one in rounds[:-1]:
        count += len(one)
        starts.append(percent(count / len(values)))
    told = (
        f"{len(values):,} inferences in {len(rounds)} processes" if len(rounds) > 1 else f"{len(values):,} inferences"
    )
    thinned = _thinned(values)
    fewer = "" if len(thinned) == len(values) else "; of each stretch the least, the median and the largest are drawn"
    p50 = found.latency_ms.p50 if found.latency_ms else median(values)
    levels = [(scale.at(p50), "p50")]
    if found.latency_ms is not None and found.latency_ms.p95 is not None:
        levels.append((scale.at(found.latency_ms.p95), "p95"))
    return Dots(
        label="latency (ms)",
        dots=tuple((percent((number + 0.5) / len(values)), scale.at(value)) for number, value in thinned),
        y_ticks=scale.ticks(4),
        x_ticks=Scale(0, len(values)).ticks(4),
        x_label="inference",
        words=f"{told}, in order{fewer}",
        starts=tuple(starts),
        levels=tuple(levels),
    )


def _by_round(rounds: Sequence[Sequence[float]], found: Measurement) -> list[Dots | None]:
    """Temperature and clock, one dot a process below its inferences."""
    columns = (("temperature (°C)", found.round_temperature_c), ("clock (MHz)", found.round_mhz))
    whole = sum(map(len, rounds))
    ends = [sum(map(len, rounds[: number + 1])) for number in range(len(rounds))]
    return [
        _over(label, ends, values, whole, "inference", "") for label, values in columns if len(values) == len(rounds)
    ]


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    if len(values) <= _MOST:
        return list(enumerate(values))
    stretch = -(-len(values) // (_MOST // 3))
    kept: list[tuple[int, float]] = []
    for start in range(0, len(values), stretch):
        ordered = sorted(enumerate(values[start : start + stretch], start), key=lambda item: item[1])
        kept += sorted({ordered[0], ordered[len(ordered) // 2], ordered[-1]})
    return kept


def _sustained(found: Measurement) -> list[Dots | None]:
    points = found.sustained
    seconds = [point.seconds for point in points]
    columns: list[tuple[str, list[float | None]]] = [
        ("p50 (ms)", [point.p50_ms for point in points]),
        ("temperature (°C)", [point.temperature_c for point in points]),
        ("clock (MHz)", [point.mhz for point in points]),
    ]
    longest = max(seconds, default=0.0)
    took = f" in {figures.seconds(longest)}"
    return [_over(label, seconds, values, longest, "seconds without a pause", took) for label, values in columns]


def _over(
    label: str, places: Sequence[float], values: Sequence[float | None], end: float, x_label: str, took: str
) -> Dots | None:
    """A line through what is known of the values."""
    known = [(at, value) for at, value in zip(places, values, strict=True) if value is not None]
    scale = scale_of([value for _, value in known], upright=True)
    if scale is None:
        return None
    across = Scale(0.0, end or 1.0)
    told = f"from {figures.number(known[0][1])} to {figures.number(known[-1][1])}"
    same = len({value for _, value in known}) == 1
    return Dots(
        label=label,
        dots=tuple((across.at(at), scale.at(value)) for at, value in known),
        y_ticks=scale.ticks(3),
        x_ticks=across.ticks(4),
        x_label=x_label,
        words=f"{figures.number(known[0][1])} throughout" if same else f"{told}{took}",
        joined=True,
    )


def _facts(found: Measurement) -> tuple[Figure, ...]:
    latency = found.latency_ms
    heat = [f"{value:.0f} °C" if value is not None else "?" for value in found.temperature_c or ()]
    throttled = {None: "", True: "yes, the board held its clock back", False: "no"}[found.throttled]
    facts = [
        figure("p50", latency.p50 if latency else None, figures.milliseconds),
        figure("p90", latency.p90 if latency else None, figures.milliseconds),
        figure("p95", latency.p95 if latency else None, figures.milliseconds),
        figure("max", latency.max if latency else None, figures.milliseconds),
        Figure(
            f"interval of {found.percentile}", f"{figures.interval(found.interval_ms)} ms" if found.interval_ms else ""
        ),
        Figure("temperature", " before, ".join(heat) + " after" if any(found.temperature_c or ()) else ""),
        Figure("clock", f"{found.freq_mhz:,} MHz"),
        Figure("throttled", throttled),
        Figure("stable", {None: "", True: "yes", False: "no"}[found.stable]),
        figure("load", found.load_ms, figures.milliseconds),
        figure("peak memory", found.peak_memory_kib, lambda kib: figures.size(kib * 1024)),
    ]
    return tuple(fact for fact in facts if fact.text)

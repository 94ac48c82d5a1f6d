"""A search as a picture: each trial's metric over its latency, or over its size where all are equally fast."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from armopt.core.records import Metric, Result
from armopt.core.search_record import SearchRecord, Trial
from armopt.show import figures
from armopt.show.plot_style import BLUE, GREY, ORANGE, PURPLE, QUIET, RED, Picture, calm, write
from armopt.show.search import counts, delivered_words
from armopt.show.text import clean

# Inches.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 7.6, 4.8, 0.85, 0.3, 0.6, 1.05
_DPI = 110
# Characters beside each other below the title.
_LINE = 100
# Latencies of one architecture differ by less than this from rounding alone.
_SAME_LATENCY = 0.01
# Room around the points, as a share of what they span.
_MARGIN = 0.12

# Marker, whether it is filled, colour and words of each way to end; drawn in this order, the last on top.
_LOOKS = (
    ("stopped", "s", False, GREY, "stopped: others were better"),
    ("infeasible", "x", True, RED, "infeasible: too slow or too large"),
    ("finished", "o", True, BLUE, "finished: trained to the end"),
)


@dataclass(frozen=True)
class _Across:
    """What lies along the x axis."""

    label: str
    of: Callable[[Trial], float | None]
    limit: float | None
    is_latency: bool = False


def search_picture(result: Result) -> Picture | None:
    """The trials with the target's limits, the front joined and the winner named; None where no trial has figures."""
    record = result.search
    if record is None:
        return None
    across = _across(result, record)
    shown = [trial for trial in record.trials if trial.metric is not None and across.of(trial) is not None]
    if not shown:
        return None
    with calm():
        figure = Picture(figsize=(_WIDTH, _HEIGHT), dpi=_DPI)
        title = f"{clean(result.model, 60)} on {clean(result.device, 30)}"
        write(figure, _LEFT / _WIDTH, 0.975, title, size=11, weight="bold", va="top")
        counted = textwrap.fill(counts(record), _LINE)
        write(figure, _LEFT / _WIDTH, 0.925, counted, size=8, color=QUIET, va="top")
        size = (1 - (_LEFT + _RIGHT) / _WIDTH, 1 - (_BOTTOM + _TOP) / _HEIGHT)
        axes = figure.add_axes((_LEFT / _WIDTH, _BOTTOM / _HEIGHT, *size))
        least = _metric_limit(result, record)
        low, high = _metric_range(shown, least)
        beyond = _draw_trials(axes, shown, across, (low, high))
        _draw_front(axes, shown, across, result.metric)
        _draw_limits(axes, across, least, result.metric)
        _draw_winner(axes, result, shown, across)
        _finish(axes, shown, across, (low, high), clean(result.metric.name, 40))
        if beyond:
            words = f"{beyond} beyond the edge {'is' if beyond == 1 else 'are'} drawn on it"
            write(figure, 1 - _RIGHT / _WIDTH, 0.02, words, size=7.5, color=QUIET, ha="right")
    return figure


def _across(result: Result, record: SearchRecord) -> _Across:
    times = [trial.latency_ms for trial in record.trials if trial.latency_ms is not None]
    if times and max(times) > min(times) * (1 + _SAME_LATENCY):
        return _Across("latency (ms)", lambda trial: trial.latency_ms, _number(result, "max_latency_ms"), True)
    limit = _number(result, "max_gz_bytes")
    return _Across(
        "compressed size (kB)",
        lambda trial: None if trial.gz_bytes is None else trial.gz_bytes / 1000,
        None if limit is None else limit / 1000,
    )


def _number(result: Result, limit: str) -> float | None:
    value = result.target.get(limit)
    return None if value is None else float(value)


def _metric_limit(result: Result, record: SearchRecord) -> float | None:
    """The worst value that the target allows, on val; the stricter of two limits."""
    sign = 1.0 if result.metric.higher_is_better else -1.0
    least, drop = _number(result, "min_accuracy"), _number(result, "max_drop")
    limits = [] if least is None else [least]
    if drop is not None and record.source_metric is not None:
        limits.append(record.source_metric - sign * drop)
    return max(limits, key=lambda limit: sign * limit) if limits else None


def _metric_range(shown: Sequence[Trial], limit: float | None) -> tuple[float, float]:
    """What the y axis spans: trials that were trained to the end, since untrained ones would squeeze them together."""
    finished = [trial.metric for trial in shown if trial.state == "finished"] or [trial.metric for trial in shown]
    values = [value for value in (*finished, limit) if value is not None]
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or 0.02 * abs(high) or 1.0
    return low - margin, high + margin


def _draw_trials(axes: Axes, shown: Sequence[Trial], across: _Across, bounds: tuple[float, float]) -> int:
    """Draw all of them; how many lie on the edge because they are beyond it."""
    beyond = 0
    for state, marker, filled, colour, words in _LOOKS:
        those = [trial for trial in shown if trial.state == state]
        if not those:
            continue
        x = [across.of(trial) or 0.0 for trial in those]
        y = [min(max(trial.metric or 0.0, bounds[0]), bounds[1]) for trial in those]
        beyond += sum(drawn != trial.metric for drawn, trial in zip(y, those, strict=True))
        look: dict[str, Any] = {"facecolors": colour if filled else "none", "edgecolors": colour}
        label = f"{words} ({len(those)})"
        axes.scatter(x, y, s=34, marker=marker, linewidths=1.2, label=label, clip_on=False, zorder=3, **look)
        if across.is_latency and state == "finished":
            for trial, height in zip(those, y, strict=True):
                if trial.interval_ms is not None:
                    axes.hlines([height], *trial.interval_ms, color=colour, linewidth=0.8, alpha=0.5, zorder=2)
    return beyond


def _draw_front(axes: Axes, shown: Sequence[Trial], across: _Across, metric: Metric) -> None:
    """Join the finished trials that no other beats in what the axes show."""
    sign = 1.0 if metric.higher_is_better else -1.0
    joined: list[tuple[float, float]] = []
    finished = [trial for trial in shown if trial.state == "finished"]
    for x, y in sorted(((across.of(t) or 0.0, t.metric or 0.0) for t in finished), key=lambda p: (p[0], -sign * p[1])):
        if not joined or sign * y > sign * joined[-1][1]:
            joined.append((x, y))
    if len(joined) > 1:
        axes.plot(
            *zip(*joined, strict=True), color=BLUE, linewidth=1.2, alpha=0.6, zorder=2, label="no other beats these"
        )


def _draw_limits(axes: Axes, across: _Across, least: float | None, metric: Metric) -> None:
    words = "target"
    if across.limit is not None:
        axes.axvline(across.limit, color=ORANGE, linewidth=1.2, linestyle="--", label=words)
        words = "_target"  # an underscore keeps the second line out of the legend
    if least is not None:
        axes.axhline(least, color=ORANGE, linewidth=1.2, linestyle="--", label=words)


def _draw_winner(axes: Axes, result: Result, shown: Sequence[Trial], across: _Across) -> None:
    metric, winner = result.metric, result.search.winning_trial if result.search else None
    if winner is None or winner.metric is None or winner not in shown:
        return
    x = across.of(winner) or 0.0
    delivered = delivered_words(result)
    axes.scatter(
        [x], [winner.metric], s=150, marker="o", facecolors="none", edgecolors=PURPLE, linewidths=1.6, zorder=4
    )
    head = f"winner: trial {winner.number}{', ' if delivered else ''}{delivered}"
    told = [f"{clean(metric.name, 24)} {figures.metric_value(winner.metric)}"]
    told += [figures.size(winner.gz_bytes)] if winner.gz_bytes is not None else []
    told += [figures.milliseconds(winner.latency_ms)] if winner.latency_ms is not None else []
    places = [across.of(trial) or 0.0 for trial in shown]
    right = x > (min(places) + max(places)) / 2
    axes.annotate(
        f"{head}\n{', '.join(told)}",
        (x, winner.metric),
        xytext=(-9 if right else 9, -6 if metric.higher_is_better else 6),  # on the side where no front lies
        textcoords="offset points",
        va="top" if metric.higher_is_better else "bottom",
        ha="right" if right else "left",
        fontsize=8,
        color=PURPLE,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        zorder=5,
    )


def _finish(axes: Axes, shown: Sequence[Trial], across: _Across, bounds: tuple[float, float], metric: str) -> None:
    places = [place for place in (*map(across.of, shown), across.limit) if place is not None]
    margin = 0.06 * (max(places) - min(places)) or 0.1 * max(places) or 1.0
    axes.set_xlim(max(0.0, min(places) - margin), max(places) + margin)
    axes.set_ylim(*bounds)
    axes.set_xlabel(across.label, fontsize=8, color=QUIET, labelpad=2)
    axes.set_ylabel(f"{metric} on val", fontsize=8, color=QUIET, labelpad=3, parse_math=False)
    axes.tick_params(labelsize=8, length=2, colors=QUIET)
    axes.grid(linewidth=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#AAAAAA")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, fontsize=7.5, frameon=False, borderpad=0.1,
        columnspacing=1.2, handletextpad=0.4,
    )  # fmt: skip

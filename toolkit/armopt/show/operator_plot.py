"""Where a latency goes, as a bar chart: the slowest operators of one model, or the kinds of two."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from armopt.core.operator_times import changes_by_kind
from armopt.core.records import Measurement, OperatorTime
from armopt.show import figures
from armopt.show.kernels import numbered, short_kernel, short_shape
from armopt.show.operators import RUNTIME, WORDS_OF_BOUND, share, slowest
from armopt.show.plot_style import BLUE, GREY, ORANGE, PURPLE, QUIET, YELLOW, Picture, calm, write
from armopt.show.text import clean

# Bars of the chart, and the share of the whole that makes a kind worth two of them.
_MOST, _LEAST = 20, 0.001
# Inches.
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BOTTOM = 9.2, 2.75, 2.6, 0.27, 0.92, 0.52
_DPI = 110
_PARTS = (
    ("core_ms", "core at work", BLUE),
    ("cache_ms", "waiting for caches", YELLOW),
    ("memory_ms", "waiting for memory", ORANGE),
    ("overhead_ms", "the runtime's overhead", PURPLE),
)


def operator_picture(found: Measurement, name: str) -> Picture:
    """One bar an operator, slowest first, cut into what the time goes to; `name` is the model's."""
    operators = found.operators or ()
    shown = slowest(operators, _MOST)
    rest = slowest(operators, None)[len(shown) :]
    runtime = [operator for operator in operators if operator.index is None]
    left_out = [(f"{len(rest)} other operators", rest)] if rest else []
    notes = [
        f"{words}: {figures.milliseconds(_sum(those, 'latency_ms'))}, {share(_sum(those, 'share'))}"
        for words, those in [*left_out, ("runtime around them", runtime)]
    ]
    with calm():
        figure, axes = _canvas(len(shown), name, "; ".join(notes), found)
        parts = [part for part in _PARTS if _sum(operators, part[0])]
        longest = max((operator.latency_ms for operator in shown), default=1.0)
        for row, operator in enumerate(shown):
            reached = 0.0
            for field, words, colour in parts:
                length = getattr(operator, field)
                axes.barh(row, length, left=reached, height=0.72, color=colour, label=words if row == 0 else None)
                reached += length
            _beside(axes, reached + 0.012 * longest, row, _told(operator))
        _finish(axes, [_label(operator) for operator in shown], longest)
        _legend(axes, len(parts))
    return figure


def compare_picture(before: Measurement, after: Measurement, names: tuple[str, str]) -> Picture:
    """Two bars a kind of operator, before and after; `names` are those of the models."""
    every = changes_by_kind(before.operators or (), after.operators or ())
    whole = max(_sum(found.operators or (), "latency_ms") for found in (before, after))
    changes = [each for each in every if max(each.before.latency_ms, each.after.latency_ms) > _LEAST * whole]
    note = f"kinds below {_LEAST:.1%} are left out" if len(changes) < len(every) else ""
    with calm():
        figure, axes = _canvas(2 * len(changes), " and ".join(names), note, before, after)
        longest = max((max(each.before.latency_ms, each.after.latency_ms) for each in changes), default=1.0)
        for side, (which, colour) in enumerate((("before", GREY), ("after", BLUE))):
            for row, change in enumerate(changes):
                each = getattr(change, which)
                at = row - 0.2 + 0.4 * side
                label = clean(f"{which}: {names[side]}", 60) if row == 0 else None
                axes.barh(at, each.latency_ms, height=0.36, color=colour, label=label)
                count = "" if change.kind == RUNTIME else f", {each.runs} x"
                told = f"{figures.milliseconds(each.latency_ms)}{count}" if each.latency_ms else "none"
                _beside(axes, each.latency_ms + 0.012 * longest, at, told)
        _finish(axes, [clean(change.kind, 24) for change in changes], longest)
        _legend(axes, 2)
    return figure


def _canvas(rows: int, name: str, note: str, *found: Measurement) -> tuple[Picture, Axes]:
    """A figure with its head and foot, and axes with room for `rows` bars."""
    height = _TOP + _ROW * rows + _BOTTOM
    figure = Picture(figsize=(_WIDTH, height), dpi=_DPI)
    write(figure, 0.16 / _WIDTH, 1 - 0.16 / height, clean(name, 90), size=11, weight="bold", va="top")
    where = f"{found[0].device}, {found[0].freq_mhz} MHz, {found[0].threads} thread{'s' * (found[0].threads != 1)}"
    told = " and ".join(map(_whole, found))
    write(figure, 0.16 / _WIDTH, 1 - 0.40 / height, clean(f"{told}; {where}", 140), size=8, color=QUIET, va="top")
    write(figure, 1 - 0.16 / _WIDTH, 0.12 / height, note, size=7.5, color=QUIET, ha="right")
    inner = (_LEFT / _WIDTH, _BOTTOM / height, 1 - (_LEFT + _RIGHT) / _WIDTH, _ROW * rows / height)
    return figure, figure.add_axes(inner)


def _beside(axes: Axes, x: float, y: float, words: str) -> None:
    axes.text(x, y, words, va="center", fontsize=7.5, color=QUIET, parse_math=False)


def _legend(axes: Axes, columns: int) -> None:
    place = (-0.01, 1.0)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=place, ncols=columns, fontsize=8, frameon=False, borderpad=0.1
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _finish(axes: Axes, labels: Sequence[str], longest: float) -> None:
    axes.set_xlim(0, 1.02 * longest)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)))
    axes.set_yticklabels(labels, parse_math=False)
    axes.set_xlabel("ms", fontsize=8, color=QUIET, labelpad=2)
    axes.tick_params(labelsize=8, length=2, colors=QUIET)
    axes.tick_params(axis="y", length=0, labelcolor="#222222")
    axes.grid(axis="x", linewidth=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color("#AAAAAA")


def _whole(found: Measurement) -> str:
    p50 = figures.milliseconds(found.latency_ms.p50) if found.latency_ms else "no latency"
    interval = f", {figures.interval(found.interval_ms)}" if found.interval_ms else ""
    return f"{p50} ({found.evidence}{interval})"


def _label(operator: OperatorTime) -> str:
    return clean(f"{numbered(operator)} {operator.kind} {short_shape(operator.shape)}", 40)


def _told(operator: OperatorTime) -> str:
    bound = WORDS_OF_BOUND[operator.bound] if operator.bound else ""
    return f"{share(operator.share)} {bound}, {short_kernel(operator.kernel)}"


def _sum(operators: Sequence[OperatorTime], field: str) -> float:
    return float(sum(getattr(operator, field) for operator in operators))

"""The leaves of one or several runs as points: the metric over latency, instructions or compressed size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from armopt.core.records import Node, Result
from armopt.show import figures
from armopt.show.page.scales import Scale, Tick, scale_of
from armopt.show.text import clean

# Medians closer than this are the same latency for the eye: then size is what parts the nodes.
_SAME = 0.02
# Pixels from one to the next of points that would hide each other, and how near such points are, in per cent.
_STEP, _NEAR = 15, (2.0, 3.0)
# More series than this start over with the first one's look.
SERIES = 6


@dataclass(frozen=True)
class Leaf:
    """A leaf to draw: whose node it is on the page, its number there, and which series it belongs to."""

    node: Node
    result: Result
    pick: str
    number: int
    series: int
    run: str = ""


@dataclass(frozen=True)
class Point:
    """A drawn leaf; `label` says in words what its place says. `shift` pixels part it from points in its place."""

    x: str
    y: str
    shift: int
    whisker: tuple[str, str] | None
    pick: str
    number: int
    series: int
    label: str
    status: str
    chosen: bool
    best: bool


@dataclass(frozen=True)
class Line:
    """A limit of the target, or the model as given, across the chart."""

    at: str
    words: str
    look: str


@dataclass(frozen=True)
class Scatter:
    """One chart; `key` tells it from the same leaves over something else."""

    key: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    points: tuple[Point, ...]
    x_lines: tuple[Line, ...]
    y_lines: tuple[Line, ...]


@dataclass(frozen=True)
class _Across:
    key: str
    label: str
    of: Callable[[Node], float | None]
    limit: str
    # Units that the axis may have, the largest first: it takes the first that its largest value fills.
    units: tuple[tuple[float, str], ...]


_ACROSS = (
    _Across("latency", "latency p50", lambda node: node.latency_ms.p50 if node.latency_ms else None, "max_latency_ms",
            ((1e3, "s"), (1.0, "ms"), (1e-3, "µs"))),
    _Across("instructions", "instructions", lambda node: node.instructions, "max_instructions",
            ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))),
    _Across("cycles", "cycles of the NPU", lambda node: node.npu.cycles if node.npu else None, "",
            ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))),
    _Across("size", "compressed size", lambda node: node.gz_bytes, "max_gz_bytes",
            ((1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))),
)  # fmt: skip


def scatters(leaves: Sequence[Leaf]) -> tuple[Scatter, ...]:
    """The charts that the leaves have figures for, the one that parts them most first."""
    scored = [leaf for leaf in leaves if leaf.node.accuracy.int8 is not None]
    drawn = {across.key: _scatter(scored, across) for across in _ACROSS}
    order = sorted(_ACROSS, key=lambda across: not _parts(scored, across))
    return tuple(chart for across in order if (chart := drawn[across.key]) is not None)


def _parts(leaves: Sequence[Leaf], across: _Across) -> bool:
    values = [value for leaf in leaves if (value := across.of(leaf.node)) is not None]
    return bool(values) and max(values) > min(values) * (1 + _SAME)


def _scatter(leaves: Sequence[Leaf], across: _Across) -> Scatter | None:
    shown = [leaf for leaf in leaves if across.of(leaf.node) is not None]
    limits = _limits(shown, across)
    floors = _floors(shown)
    ends = [end for leaf in shown if across.key == "latency" for end in leaf.node.interval_ms or ()]
    x_scale = scale_of([*(across.of(leaf.node) or 0.0 for leaf in shown), *ends, *limits])
    y_scale = scale_of(
        [*(leaf.node.accuracy.int8 or 0.0 for leaf in shown), *(at for at, _, _ in floors)], upright=True
    )
    if x_scale is None or y_scale is None:
        return None
    factor, unit = next((one for one in across.units if x_scale.high >= one[0]), across.units[-1])
    metric = shown[0].result.metric
    better = "higher" if metric.higher_is_better else "lower"
    return Scatter(
        key=across.key,
        x_label=f"{across.label} ({unit}, lower is better)" if unit else f"{across.label} (lower is better)",
        y_label=f"{clean(metric.name, 24)} ({better} is better)",
        x_ticks=Scale(x_scale.low / factor, x_scale.high / factor).ticks(),
        y_ticks=y_scale.ticks(),
        points=_points(shown, across, x_scale, y_scale),
        x_lines=tuple(Line(x_scale.at(limit), "limit", "limit") for limit in limits),
        y_lines=tuple(Line(y_scale.at(at), words, look) for at, words, look in floors),
    )


def _limits(leaves: Sequence[Leaf], across: _Across) -> list[float]:
    found = [leaf.result.target.get(across.limit) for leaf in leaves]
    return sorted({float(limit) for limit in found if isinstance(limit, (int, float))})


def _floors(leaves: Sequence[Leaf]) -> list[tuple[float, str, str]]:
    """(metric, words, look) of the lines across: what the target allows, and the model as given; of one run only."""
    results = {id(leaf.result): leaf.result for leaf in leaves}
    if len(results) != 1:
        return []
    [result] = results.values()
    found = []
    least, drop = result.target.get("min_accuracy"), result.target.get("max_drop")
    if isinstance(least, (int, float)):
        found.append((float(least), "limit", "limit"))
    if result.source_accuracy is not None:
        found.append((result.source_accuracy, "model given", "given"))
        if isinstance(drop, (int, float)):
            sign = -1 if result.metric.higher_is_better else 1
            found.append((result.source_accuracy + sign * float(drop), "limit", "limit"))
    return found


def _points(leaves: Sequence[Leaf], across: _Across, x_scale: Scale, y_scale: Scale) -> tuple[Point, ...]:
    points: list[Point] = []
    for leaf in leaves:
        node, result = leaf.node, leaf.result
        x, y = x_scale.at(across.of(node) or 0.0), y_scale.at(node.accuracy.int8 or 0.0)
        same = sum(_near(x, other.x, _NEAR[0]) and _near(y, other.y, _NEAR[1]) for other in points)
        ends = node.interval_ms if across.key == "latency" else None
        chosen, best = node.path == result.chosen, node.path in result.pareto
        words = [figures.node_figures(node), node.status, *["chosen"] * chosen, *["no other beats it"] * best]
        name = " ".join(word for word in (leaf.run, clean(node.path, 80)) if word)
        points.append(
            Point(
                x=x,
                y=y,
                shift=_STEP * same,
                whisker=(x_scale.at(ends[0]), x_scale.at(ends[1])) if ends else None,
                pick=leaf.pick,
                number=leaf.number,
                series=leaf.series % SERIES,
                label=f"{name}: {', '.join(word for word in words if word)}",
                status=node.status,
                chosen=chosen,
                best=best,
            )
        )
    return tuple(points)


def _near(one: str, other: str, most: float) -> bool:
    return abs(float(one[:-1]) - float(other[:-1])) < most

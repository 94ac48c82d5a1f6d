"""Where the time goes, operator by operator, before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from armopt.core.records import Measurement
from armopt.show import figures, npu
from armopt.show.kernels import short_shape
from armopt.show.operators import RUNTIME, WORDS_OF_BOUND
from armopt.show.page.figure import Figure
from armopt.show.page.scales import percent
from armopt.show.text import clean

# Rows that are seen at once; the others can be opened.
FIRST = 12
_MOST_ADVICE = 4


@dataclass(frozen=True)
class Bar:
    """One operator's time: its figure, and how long its bar is."""

    figure: Figure
    width: str


@dataclass(frozen=True)
class Row:
    """One operator, or one kind of them; `bars` are one or, before and after, two."""

    name: str
    output: str
    bars: tuple[Bar, ...]
    change: str
    bound: str


@dataclass(frozen=True)
class Operators:
    """All rows, slowest first, and what is said of them.

    Attributes:
        paths: of the nodes that the bars are of: before and after, or the only one.
        alike: whether both have the same operators in the same order, so that a row is one operator in both.
        what: of what the bars are, and how it is known, for example 'milliseconds, modelled'.
        rows: in the order of the slower bar.
        advice: what would help, with the operators that it is for.
    """

    paths: tuple[str, ...]
    alike: bool
    what: str
    rows: tuple[Row, ...]
    advice: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Part:
    """An operator of a CPU or of an NPU: what the rows need of it."""

    index: int | None
    kind: str
    shape: tuple[int, ...]
    cost: float
    share: float
    bound: str
    advice: str

    @property
    def numbered(self) -> str:
        return "" if self.index is None else f"#{self.index} "


def operators_of(measured: Mapping[str, Measurement], chosen: str | None) -> Operators | None:
    """The chosen node's operators beside those of the node to compare with; None where none are known."""
    known = {path: parts for path, found in measured.items() if (parts := _parts(found))}
    if not known:
        return None
    after = chosen if chosen in known else list(known)[-1]
    before = next((path for path in known if path != after), None)
    paths = tuple(path for path in (before, after) if path is not None)
    sides = [known[path] for path in paths]
    in_cycles = bool(measured[paths[-1]].npu_layers)
    words = _cycles if in_cycles else figures.milliseconds
    alike = len({tuple(part.kind for part in side) for side in sides}) == 1
    rows = _by_operator(sides, words) if alike else _by_kind(sides, words)
    evidence = " and ".join(dict.fromkeys(measured[path].evidence for path in paths))
    what = f"{'cycles of the NPU' if in_cycles else 'times'} are {evidence}"
    return Operators(tuple(clean(path, 80) for path in paths), alike, what, rows, _advice(sides[-1]))


def _parts(found: Measurement) -> list[_Part]:
    if found.npu_layers:
        return [
            _Part(one.index, one.kind, one.shape, one.cycles, one.share,
                  npu.WORDS_OF_BOUND[one.bound] if one.bound else "on the CPU", one.advice)
            for one in found.npu_layers
        ]  # fmt: skip
    return [
        _Part(one.index, one.kind, one.shape, one.latency_ms, one.share,
              WORDS_OF_BOUND[one.bound] if one.bound else "", one.advice)
        for one in found.operators or ()
    ]  # fmt: skip


def _by_operator(sides: Sequence[Sequence[_Part]], words: Callable[[float], str]) -> tuple[Row, ...]:
    longest = max((part.cost for side in sides for part in side), default=0.0)
    rows = []
    for those in zip(*sides, strict=True):
        last = those[-1]
        if not any(part.cost for part in those) and last.bound != "on the CPU":
            continue  # fused into another or left out by the runtime
        name = f"{last.numbered}{clean(last.kind, 24)}"
        rows.append(_row(name, short_shape(last.shape), [part.cost for part in those], longest, last.bound, words))
    return _slowest_first(rows)


def _by_kind(sides: Sequence[Sequence[_Part]], words: Callable[[float], str]) -> tuple[Row, ...]:
    rows, sums = [], {}
    for kind in dict.fromkeys(part.kind for side in sides for part in side):
        those = [[part.cost for part in side if part.kind == kind and part.cost] for side in sides]
        if any(those):
            counts = "" if kind == RUNTIME else f"{len(those[0])} before, {len(those[1])} after"
            sums[kind] = (counts, [sum(costs) for costs in those])
    longest = max((cost for _, costs in sums.values() for cost in costs), default=0.0)
    for kind, (counts, costs) in sums.items():
        rows.append(_row(clean(kind, 24), counts, costs, longest, "", words))
    return _slowest_first(rows)


def _row(
    name: str, output: str, costs: Sequence[float], longest: float, bound: str, words: Callable[[float], str]
) -> Row:
    names = ("before", "after") if len(costs) == 2 else ("time",)
    bars = tuple(
        Bar(Figure(word, words(cost), repr(cost)), percent(cost / longest if longest else 0.0))
        for word, cost in zip(names, costs, strict=True)
    )
    change = f"{costs[1] / costs[0] - 1:+.0%}" if len(costs) == 2 and costs[0] and costs[1] else ""
    return Row(name, output, bars, change if change not in ("+0%", "-0%") else "0%", bound)


def _slowest_first(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: -max(float(bar.figure.exact) for bar in row.bars)))


def _cycles(value: float) -> str:
    return figures.count(round(value))


def _advice(parts: Sequence[_Part]) -> tuple[tuple[str, str], ...]:
    """Each sentence once, those of the most time first."""
    those_of: dict[str, list[_Part]] = {}
    for part in parts:
        if part.advice:
            those_of.setdefault(part.advice, []).append(part)
    ordered = sorted(those_of.items(), key=lambda item: -sum(part.share for part in item[1]))
    told = []
    for sentence, those in ordered[:_MOST_ADVICE]:
        named = ", ".join(part.numbered.strip() or clean(part.kind, 24) for part in those[:12])
        more = f" and {len(those) - 12} more" if len(those) > 12 else ""
        share = figures.share(min(1.0, round(sum(part.share for part in those), 6)))
        told.append((f"{named}{more} ({share})", clean(sentence, 400)))
    return tuple(told)

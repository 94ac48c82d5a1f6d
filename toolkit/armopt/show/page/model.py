"""What the page says of runs, in words that are safe to show: all that the template has to do is to place it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from armopt.core.records import Measurement, Result
from armopt.core.tree import ROOT, stage_of
from armopt.show.page import verdict
from armopt.show.page.against import Against, against_of
from armopt.show.page.bars import Operators, operators_of
from armopt.show.page.figure import Figure, all_figures, table_figures
from armopt.show.page.pictures import MOST_BYTES_IN_ALL, Picture, largest
from armopt.show.page.scatter import Leaf, Scatter, scatters
from armopt.show.page.series import Timing, timing_of
from armopt.show.page.summary import compared, environment, tiles
from armopt.show.text import clean
from armopt.show.tree_nodes import ShownNode, ShownTree, tree_of_result


@dataclass(frozen=True)
class Given:
    """One run, as it was found.

    Attributes:
        result: what it came to.
        name: what the run is called on the page, such as its folder's name.
        operators: measurements that tell operators, where the result itself does not, by path.
        pictures: those that its folder has.
        is_tree: False for a measurement of one file, which has no tree.
    """

    result: Result
    name: str
    operators: Mapping[str, Measurement] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    is_tree: bool = True


@dataclass(frozen=True)
class NodeView:
    """A node: `ident` is its element's on the page, `cells` its row of the table, `details` all of its figures."""

    ident: str
    number: int
    path: str
    name: str
    stage: str
    evidence: str
    shown: ShownNode
    cells: tuple[Figure, ...]
    details: tuple[Figure, ...]
    below: tuple[NodeView, ...] = ()


@dataclass(frozen=True)
class RunView:
    """All that one run has on the page; an empty part is not shown."""

    ident: str
    name: str
    title: str
    verdict: str
    headline: str
    sentence: str
    reason: str
    target: str
    tiles: tuple[Figure, ...]
    compared: tuple[Figure, ...]
    against: Against | None
    root: NodeView | None
    nodes: tuple[NodeView, ...]
    picked: str
    charts: tuple[Scatter, ...]
    operators: Operators | None
    pictures: tuple[Picture, ...]
    pictures_in_all: int
    timings: tuple[Timing, ...]
    environment: tuple[Figure, ...]
    notes: tuple[str, ...]
    command: str
    is_tree: bool


@dataclass(frozen=True)
class PageView:
    """The page: its runs, and where they are several, their leaves in the same charts."""

    title: str
    runs: tuple[RunView, ...]
    charts: tuple[Scatter, ...]


def page_view(given: Sequence[Given], title: str | None = None) -> PageView:
    """What the page says of the runs, in their order."""
    room = MOST_BYTES_IN_ALL // max(len(given), 1)
    runs = tuple(_run(number, one, room) for number, one in enumerate(given, 1))
    together: list[Leaf] = []
    for place, (view, one) in enumerate(zip(runs, given, strict=True)):
        together += _leaves(view, one, place, run=view.name)
    same = len({one.result.metric for one in given}) == 1
    words = title or (f"{runs[0].title}" if len(runs) == 1 else f"{len(runs)} runs side by side")
    return PageView(clean(words, 120), runs, scatters(together) if len(runs) > 1 and same else ())


def _run(number: int, given: Given, room: int) -> RunView:
    result, ident = given.result, f"run{number}"
    shown = tree_of_result(result)
    nodes = _nodes(result, shown, ident)
    chosen = verdict.chosen_node(result)
    picked = next((node for node in nodes if node.shown.chosen), None) or next(
        (node for node in nodes if node.shown.status not in ("skipped", "waiting") and node.path != ROOT), None
    )
    measured = {**result.measurements, **given.operators}
    timings = (timing_of(path, found) for path, found in result.measurements.items())
    view = RunView(
        ident=ident,
        name=clean(given.name, 60),
        title=f"{clean(result.model, 60)} {verdict.where(result)}",
        verdict=result.verdict or ("built" if chosen is not None else "waiting"),
        headline=verdict.headline(result),
        sentence=verdict.sentence(result),
        reason=clean(result.reason, 600),
        target=verdict.target_words(result),
        tiles=tiles(chosen, result),
        compared=compared(chosen, result),
        against=against_of(result.comparison),
        root=next((node for node in nodes if node.path == ROOT), None) if given.is_tree else None,
        nodes=nodes,
        picked=picked.ident if picked else "",
        charts=(),
        operators=operators_of(measured, result.chosen),
        pictures=largest(given.pictures, room),
        pictures_in_all=len(given.pictures),
        timings=tuple(timing for timing in timings if timing is not None),
        environment=environment(result),
        notes=tuple(clean(note, 600) for note in result.notes[:20]),
        command=clean(shlex.join(result.command), 4000),
        is_tree=given.is_tree,
    )
    return replace(view, charts=scatters(_leaves(view, given, 0)) if given.is_tree else ())


def _nodes(result: Result, shown: ShownTree, ident: str) -> tuple[NodeView, ...]:
    """All nodes in the order of the result, each with those below it."""
    records = {node.path: (number, node) for number, node in enumerate(result.nodes, 1)}
    made: dict[str, NodeView] = {}
    for one in reversed(shown.nodes):  # children before their parents
        number, node = records[one.path]
        below = tuple(made[child.path] for child in shown.children_of(one.path) if child.path in made)
        made[one.path] = NodeView(
            ident=f"{ident}-node{number}",
            number=number,
            path=one.path,
            name=clean(one.path, 80),
            stage=clean(stage_of(one.path), 40),
            evidence=node.evidence or "",
            shown=one,
            cells=table_figures(node, result),
            details=all_figures(node, result),
            below=below,
        )
    return tuple(made[node.path] for node in result.nodes if node.path in made)


def _leaves(view: RunView, given: Given, series: int, run: str = "") -> list[Leaf]:
    records = {node.path: node for node in given.result.nodes}
    return [Leaf(records[node.path], given.result, node.ident, node.number, series, run) for node in view.nodes]

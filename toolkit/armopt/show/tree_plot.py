"""The deployment tree as a drawn picture: nodes as boxes, edges labelled with training and what is preserved."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from armopt.core.tree import ROOT, parent_of, stage_of
from armopt.show.plot_style import BLUE, GREEN, GREY, ORANGE, QUIET, RED, Picture, calm, write
from armopt.show.text import clean
from armopt.show.tree_nodes import ShownNode, ShownTree

# Inches; the axes' unit is one inch, so that boxes and type keep their proportion however large a tree is.
_BOX, _HIGH, _COLUMN, _ROW, _MARGIN, _HEAD = 2.75, 1.0, 4.15, 1.18, 0.25, 0.75
_DPI = 100
# Characters that fit a box's width at 7.5 points, and lines that fit its height below the stage's name.
_CHARACTERS, _LINES = 46, 5

# Border and fill of each status; the word stands in the box, so colour only helps to find it.
_COLOURS = {
    "met": (GREEN, "#EAF5EC"),
    "built": (GREEN, "#EAF5EC"),
    "trained": (BLUE, "#EAF0F7"),
    "missed": (RED, "#FBEDE9"),
    "failed": (RED, "#FBEDE9"),
    "inconclusive": (ORANGE, "#FEF3EA"),
    "unstable": (ORANGE, "#FEF3EA"),
    "skipped": ("#BBBBBB", "#F8F8F8"),
    "waiting": ("#BBBBBB", "#F8F8F8"),
}
_PLAN = (GREY, "#F6F6F6")


def tree_picture(shown: ShownTree) -> Picture:
    """Draw the tree from left to right, leaves below one another, the chosen node's path in bold lines."""
    places = _places(shown)
    depth = max((column for column, _ in places.values()), default=0)
    rows = max((row for _, row in places.values()), default=0) + 1
    width = 2 * _MARGIN + depth * _COLUMN + _BOX
    height = _HEAD + rows * _ROW + _MARGIN
    with calm():
        figure = Picture(figsize=(width, height), dpi=_DPI)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        corners = {path: (_MARGIN + column * _COLUMN, _HEAD + row * _ROW) for path, (column, row) in places.items()}
        chosen = next((node.path for node in shown.nodes if node.chosen), "")
        for node in shown.nodes:
            if node.path != ROOT and parent_of(node.path) in corners:
                _edge(axes, node, corners, f"{chosen}/".startswith(f"{node.path}/"))
        for node in shown.nodes:
            _box(axes, node, corners[node.path])
        title = f"{shown.title}: {shown.verdict}" if shown.verdict else shown.title
        write(figure, _MARGIN / width, 1 - 0.2 / height, clean(title, 110), size=11, weight="bold", va="top")
        words = clean(" ".join(shown.remarks), 150)
        write(figure, _MARGIN / width, 1 - 0.44 / height, words, size=8, color=QUIET, va="top")
    return figure


def _places(shown: ShownTree) -> dict[str, tuple[int, float]]:
    """(column, row) of each node: leaves take rows one after the other, a parent stands amid its children."""
    places: dict[str, tuple[int, float]] = {}
    free = 0.0
    for node in reversed(shown.nodes):  # children before their parents
        below = [places[child.path][1] for child in shown.children_of(node.path)]
        column = 0 if node.path == ROOT else node.path.count("/") + 1
        if below:
            places[node.path] = (column, (min(below) + max(below)) / 2)
        else:
            places[node.path] = (column, free)
            free += 1
    # Rows were dealt from the last node upwards.
    return {path: (column, free - 1 - row) for path, (column, row) in places.items()}


def _edge(axes: Axes, node: ShownNode, corners: dict[str, tuple[float, float]], on_path: bool) -> None:
    from_x, from_y = corners[parent_of(node.path)]
    to_x, to_y = corners[node.path]
    start, end, middle = from_x + _BOX, to_x, to_x - 1.2
    from_y, to_y = from_y + _HIGH / 2, to_y + _HIGH / 2
    colour, line = ("#222222", 2.0) if on_path else ("#999999", 0.9)
    axes.plot(
        [start, middle, middle, end], [from_y, from_y, to_y, to_y], color=colour, linewidth=line, zorder=1 + on_path
    )
    look = {"fontsize": 6.8, "color": QUIET, "ha": "center"}
    for words, above in zip(node.edge, (True, False), strict=False):
        axes.text(
            (middle + end) / 2,
            to_y + (-0.05 if above else 0.05),
            textwrap.fill(words, 24),
            va="bottom" if above else "top",
            parse_math=False,
            **look,  # type: ignore[arg-type]
        )


def _box(axes: Axes, node: ShownNode, corner: tuple[float, float]) -> None:
    x, y = corner
    border, fill = _COLOURS.get(node.status, _PLAN)
    box = axes.add_patch(
        FancyBboxPatch(
            (x, y),
            _BOX,
            _HIGH,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=fill,
            edgecolor="#222222" if node.chosen else border,
            linewidth=2.6 if node.chosen else 1.2,
            linestyle="--" if node.status in ("skipped", "waiting") else "-",
            zorder=3,
        )
    )
    faint = "#8A8A8A" if node.status in ("skipped", "waiting") else "#222222"
    stage = clean(stage_of(node.path), 24)
    axes.text(
        x + 0.1, y + 0.06, stage, fontsize=10, fontweight="bold", va="top", color=faint, parse_math=False, zorder=4
    )
    if node.status:
        words = f"{node.status}, CHOSEN" if node.chosen else node.status
        darker = {ORANGE: "#A84300", "#BBBBBB": "#6E6E6E"}.get(border, border)  # contrast of small text
        axes.text(
            x + _BOX - 0.1, y + 0.07, words, fontsize=8, fontweight="bold", va="top", ha="right", color=darker, zorder=4
        )
    axes.text(
        x + 0.1,
        y + 0.27,
        _inside(node),
        fontsize=7.5,
        va="top",
        color=faint,
        linespacing=1.2,
        parse_math=False,
        zorder=4,
        clip_path=box,  # wide letters of a stranger's name stay in the box
    )


def _inside(node: ShownNode) -> str:
    """Work, figures and reason, cut to the box: the terminal's tree and result.json have the rest."""
    lines: list[str] = []
    for words in (node.work, ", ".join(node.facts), node.reason):
        lines += textwrap.wrap(words, _CHARACTERS)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], lines[_LINES - 1][: _CHARACTERS - 4] + " ..."]
    return "\n".join(lines)

"""The live tree: every node with its status, a spinner and a training bar on each that is being built.

Before the tree is known, and while strengths are searched for, a line says what is being done.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from armopt.core.events import (
    Doing,
    Event,
    NodeFinished,
    NodeStarted,
    Note,
    RunFinished,
    RunStarted,
    SearchProgress,
    TrainingStep,
)
from armopt.core.records import Node
from armopt.show import figures
from armopt.show.console import headline
from armopt.show.text import clean

# The bar has its own thread; more pictures a second only cost the training time.
_PICTURES_PER_S = 8

_MARK = {"met": "+", "built": "+", "trained": "+", "skipped": "-", "missed": "x", "failed": "!"}


class LiveTree:
    """Listener for a terminal, and the context in which it may draw."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._paths: tuple[str, ...] = ()
        self._nodes: dict[str, tuple[Node, bool]] = {}
        # What is done on each node that is being built: one, or as many as there are workers.
        self._active: dict[str, str] = {}
        self._doing = ""
        self._search: SearchProgress | None = None
        # One spinner for the whole run: a new one for each picture would stand still.
        self._spinner = Spinner("line")
        self._bar = Progress(
            TextColumn("  "),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps, {task.description}{task.fields[whose]}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=_PICTURES_PER_S, transient=True
        )

    def __enter__(self) -> LiveTree:
        """Nothing is drawn before there is something to tell."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back: cursor shown, the picture gone."""
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in the event; the next picture shows it."""
        if isinstance(event, RunStarted):
            self._begin(event)
        elif isinstance(event, NodeStarted):
            if self._search is None:  # a search has many nodes that go by the same path
                self._active[event.path] = event.work
            self._drop_bar(event.path)
            self._live.start()
        elif isinstance(event, TrainingStep):
            self._step(event)
        elif isinstance(event, NodeFinished):
            self._nodes[event.node.path] = (event.node, event.cached)
            self._active.pop(event.node.path, None)
            self._doing = ""
            self._drop_bar(event.node.path)
        elif isinstance(event, Note):
            self._console.print(Text(clean(event.text), "dim"))
        elif isinstance(event, Doing):
            self._doing = event.text
            self._live.start()
        elif isinstance(event, SearchProgress):
            self._search, self._active = event, {}
            self._live.start()
        elif isinstance(event, RunFinished):
            self._live.stop()

    def _begin(self, event: RunStarted) -> None:
        """Show a tree; after a search another one may follow, of which nothing is known yet."""
        self._paths, self._nodes, self._active, self._search, self._doing = event.paths, {}, {}, None, ""
        for path in list(self._tasks):
            self._drop_bar(path)
        self._console.print(Text(clean(headline(event)), "bold"))
        self._live.start()

    def _step(self, event: TrainingStep) -> None:
        if event.step == event.steps:  # what follows takes no steps, and workers begin another node
            self._drop_bar(event.path)
            return
        told = f"epoch {event.epoch}/{event.epochs}, loss {event.loss:.4g},"
        if event.path not in self._tasks:
            self._tasks[event.path] = self._bar.add_task(told, total=event.steps, whose="")
        self._bar.update(self._tasks[event.path], completed=event.step, total=event.steps, description=told)
        for path, task in self._tasks.items():
            self._bar.update(task, whose=f" {clean(path)}," if len(self._tasks) > 1 else "")

    def _drop_bar(self, path: str) -> None:
        if path in self._tasks:
            self._bar.remove_task(self._tasks.pop(path))

    def _picture(self) -> RenderableType:
        parts: list[RenderableType] = [self._tree()] if self._paths else []
        if self._search is not None:
            parts.append(Text(_counted(self._search), "bold"))
        if not self._paths:
            parts += [self._line(f"{path}: {work}") for path, work in self._active.items()]
        if self._doing:
            idle = self._search is not None or not self._active
            parts.append(self._line(self._doing) if idle else Text(f"  {clean(self._doing)}", "dim"))
        if self._tasks:
            parts.append(self._bar)
        return Group(*parts)

    def _line(self, text: str) -> RenderableType:
        """What is being done, behind the spinner; on one line, however narrow the terminal."""
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=1)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        grid.add_row(self._spinner, Text(clean(text)))
        return grid

    def _tree(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1), expand=True)
        # Fixed widths: only the last column, which says most, gives way on a narrow terminal.
        grid.add_column(width=1)
        grid.add_column(width=max(len(clean(path)) for path in ("", *self._paths)), no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for path in self._paths:
            name = clean(path)
            if path in self._active:
                grid.add_row(self._spinner, Text(name, "bold"), Text(clean(self._active[path]), "bold"))
            elif path in self._nodes:
                node, cached = self._nodes[path]
                style = figures.STYLE_OF_STATUS[node.status]
                grid.add_row(Text(_MARK.get(node.status, "?"), style), name, _told(node, cached, style))
            else:
                grid.add_row("", Text(name, "dim"), Text("waiting", "dim"))
        return grid


def _counted(search: SearchProgress) -> str:
    """How far a search is, and the best of it."""
    of = "" if search.trials is None else f" of {search.trials}"
    best = f"; best so far: {clean(search.best)}" if search.best else ""
    return f"search: {search.done}{of} trials done{best}"


def _told(node: Node, cached: bool, style: str) -> Text:
    """A finished node in one line: its figures, and the reason where it was not taken."""
    told = Text(node.status, style)
    seen = figures.node_figures(node)
    if seen:
        told.append(f"  {seen}", "default")
    if cached:
        told.append("  (from the store)", "dim")
    if node.reason and node.status in ("skipped", "failed", "missed", "inconclusive", "unstable"):
        told.append(f"  {clean(node.reason)}", "dim")
    return told

"""The live tree: every node with its status, a spinner and a training bar on the one that is being built."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from armopt.core.events import Doing, Event, NodeFinished, NodeStarted, Note, RunFinished, RunStarted, TrainingStep
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
        self._active: str | None = None
        self._work = self._doing = ""
        # One spinner for the whole run: a new one for each picture would stand still.
        self._spinner = Spinner("line")
        self._bar = Progress(
            TextColumn("  "),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps, {task.description}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task: TaskID | None = None
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=_PICTURES_PER_S, transient=True
        )

    def __enter__(self) -> LiveTree:
        """Nothing is drawn before the tree is known."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back: cursor shown, the picture gone."""
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in the event; the next picture shows it."""
        if isinstance(event, RunStarted):
            self._paths = event.paths
            self._console.print(Text(clean(headline(event)), "bold"))
            self._live.start()
        elif isinstance(event, NodeStarted):
            self._active, self._work = event.path, event.work
            self._drop_bar()
        elif isinstance(event, TrainingStep):
            self._step(event)
        elif isinstance(event, NodeFinished):
            self._nodes[event.node.path] = (event.node, event.cached)
            if self._active == event.node.path:
                self._active = None
            self._doing = ""
            self._drop_bar()
        elif isinstance(event, Note):
            self._console.print(Text(clean(event.text), "dim"))
        elif isinstance(event, Doing):
            self._work = self._doing = event.text
        elif isinstance(event, RunFinished):
            self._live.stop()

    def _step(self, event: TrainingStep) -> None:
        told = f"epoch {event.epoch}/{event.epochs}, loss {event.loss:.4g},"
        if self._task is None:
            self._task = self._bar.add_task(told, total=event.steps)
        self._bar.update(self._task, completed=event.step, total=event.steps, description=told)

    def _drop_bar(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def _picture(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1), expand=True)
        # Fixed widths: only the last column, which says most, gives way on a narrow terminal.
        grid.add_column(width=1)
        grid.add_column(width=max(len(clean(path)) for path in ("", *self._paths)), no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for path in self._paths:
            name = clean(path)
            if path == self._active:
                grid.add_row(self._spinner, Text(name, "bold"), Text(clean(self._work), "bold"))
            elif path in self._nodes:
                node, cached = self._nodes[path]
                style = figures.STYLE_OF_STATUS[node.status]
                grid.add_row(Text(_MARK.get(node.status, "?"), style), name, _told(node, cached, style))
            else:
                grid.add_row("", Text(name, "dim"), Text("waiting", "dim"))
        if self._task is not None:
            return Group(grid, self._bar)
        # A leaf from the store is not active, and still it may have to run on the device.
        return Group(grid, Text(f"  {clean(self._doing)}", "dim")) if self._doing and self._active is None else grid


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

"""The live tree: every node with its status, a spinner and a training bar on each that is being built."""

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
        # What is done on each node that is being built: one, or as many as there are workers.
        self._active: dict[str, str] = {}
        self._doing = ""
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
            self._active[event.path] = event.work
            self._drop_bar(event.path)
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
        elif isinstance(event, RunFinished):
            self._live.stop()

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
        parts: list[RenderableType] = [grid]
        if self._tasks:
            parts.append(self._bar)
        if self._doing:
            parts.append(Text(f"  {clean(self._doing)}", "dim"))
        return Group(*parts)


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

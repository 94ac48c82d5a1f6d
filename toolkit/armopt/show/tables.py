"""The look that all tables share."""

from __future__ import annotations

from rich import box
from rich.table import Table


def plain_table(*, title: str | None = None, gap: int = 3) -> Table:
    """A table with a rule under its head and nothing else: readable in a log, too.

    `gap` is the number of columns between cells, one at least.
    """
    return Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        caption_style="dim",
        header_style="bold",
        pad_edge=False,
        padding=(0, gap // 2, 0, (gap - 1) // 2),
        show_edge=False,
    )

"""What a calibration on the user's own board changed, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from armopt.core.calibration import Calibration, Terms
from armopt.show.tables import plain_table
from armopt.show.text import clean


def terms_table(before: Calibration, after: Calibration, told: Sequence[float]) -> Table:
    """One row a term: before, after, and how much of it the timings told."""
    first, last = after.threads
    threads = "one thread" if last == 1 else f"{first} threads and more"
    table = plain_table()
    table.add_column(f"{after.kernels}, {threads}, {after.rows} timings", no_wrap=True)
    for name in ("before", "after", "told by the timings"):
        table.add_column(name, justify="right")
    for name, share in zip(Terms.model_fields, told, strict=True):
        old, new = getattr(before, name), getattr(after, name)
        table.add_row(name, f"{old:.3g}", f"{new:.3g}", f"{share:.0%}")
    return table


def shapes_table(rows: Sequence[tuple[str, float, float, float, float]]) -> Table:
    """One row a shape: name, measured ms, then what the old, the new and the terms without it say."""
    table = plain_table()
    table.add_column("shape", no_wrap=True)
    for name in ("measured ms", "before", "after", "left out"):
        table.add_column(name, justify="right")
    for name, measured, *said in rows:
        table.add_row(clean(name), f"{measured:.3g}", *(f"{ms / measured - 1:+.0%}" for ms in said))
    return table

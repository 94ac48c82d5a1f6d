"""A comparison with a baseline as tables and sentences: what got slower, which operator, why."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from armopt.core.change_words import share, signed
from armopt.core.comparison_record import Change, Comparison, OperatorChange, Outcome
from armopt.show import figures
from armopt.show.causes import place, why
from armopt.show.kernels import short_shape
from armopt.show.tables import plain_table
from armopt.show.text import clean

STYLE_OF_OUTCOME: dict[Outcome, str] = {"held": "bold green", "regressed": "red", "inconclusive": "yellow"}
_TOP = 10


def change_table(comparison: Comparison) -> Table:
    """Each figure before and after."""
    table = plain_table()
    table.add_column("figure", no_wrap=True)
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    if comparison.verdict is not None:
        table.add_column("verdict", no_wrap=True)
    for change in comparison.changes:
        cells = figure_cells(change)
        if comparison.verdict is not None:
            outcome = change.outcome
            cells.append(Text(outcome or "not gated", STYLE_OF_OUTCOME[outcome] if outcome else "dim"))
        table.add_row(*cells)
    return table


def figure_cells(change: Change) -> list[str | Text]:
    """Name, figure before, figure after, and the change in percent."""
    name = change.unit if change.criterion == "accuracy" else change.criterion
    relative = "" if change.relative is None else signed(change.relative)
    return [clean(name, 40), _figure(change, change.before), _figure(change, change.after), relative]


def _figure(change: Change, value: float | None) -> str:
    if value is None:
        return ""
    if change.unit == "ms":
        return figures.milliseconds(value)
    return figures.metric_value(value) if change.criterion == "accuracy" else f"{value:,.0f} {change.unit}".strip()


def shown_operators(comparison: Comparison, most: int | None = _TOP) -> Sequence[OperatorChange]:
    """Those to list: all that regressed, then those with the largest changes."""
    return sorted(comparison.operators, key=lambda change: change.outcome != "regressed")[:most]


def operator_change_table(comparison: Comparison, most: int | None = _TOP) -> Table:
    """The operators that changed, `most` of them; instructions are cycles on an Ethos-U."""
    table = plain_table(gap=2)
    table.add_column("#", no_wrap=True)
    table.add_column("operator", no_wrap=True)
    table.add_column("output", no_wrap=True)
    counted = "cycles" if comparison.evidence == "estimated" else "instr."
    for name in (f"{counted} before", "after", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why")
    for change in shown_operators(comparison, most):
        style = "red" if change.outcome == "regressed" else None
        table.add_row(*operator_cells(change), clean(why(change)), style=style)
    return table


def operator_cells(change: OperatorChange) -> list[str]:
    """Place, kind, output, instructions before and after, and the difference in milliseconds."""
    counts = ["-" if side is None else f"{side.instructions:,}" for side in (change.before, change.after)]
    side = change.shown
    decimals = 2 if abs(change.latency_ms) >= 10 else 4
    return [
        place(change),
        clean(side.kind, 24),
        short_shape(side.shape),
        *counts,
        f"{change.latency_ms:+.{decimals}f}",
    ]


def comparison_lines(comparison: Comparison, most: int | None = _TOP) -> list[Text]:
    """What is not listed, what is not known, and the verdict last."""
    lines = []
    hidden = len(comparison.operators) - len(shown_operators(comparison, most))
    if hidden > 0:
        lines.append(Text(f"{hidden} more operators changed; --json has them all", "dim"))
    lines += [Text(f"note: {clean(note)}") for note in comparison.notes]
    lines.append(Text(f"before: {clean(comparison.baseline)}; after: {clean(comparison.model)}", "dim"))
    if comparison.verdict is not None:
        style = STYLE_OF_OUTCOME[comparison.verdict]
        lines.append(Text.assemble((verdict_words(comparison), style), f": {clean(comparison.reason)}"))
    else:
        lines += [Text(clean(change.reason)) for change in comparison.changes if change.criterion == "latency"]
    return lines


def verdict_words(comparison: Comparison) -> str:
    """'REGRESSED by more than 1%'."""
    if comparison.verdict is None:
        return "COMPARED"
    allowed = share(comparison.max_regression or 0.0)
    words = {
        "held": f"NO REGRESSION over {allowed}",
        "regressed": f"REGRESSED by more than {allowed}",
        "inconclusive": "INCONCLUSIVE against the baseline",
    }
    return words[comparison.verdict]

"""What the page says of a run beside its baseline: figures before and after, and the operators that changed."""

from __future__ import annotations

from dataclasses import dataclass

from armopt.core.comparison_record import Comparison
from armopt.show.causes import why
from armopt.show.comparison import figure_cells, operator_cells, shown_operators, verdict_words
from armopt.show.text import clean


@dataclass(frozen=True)
class Against:
    """A comparison in words.

    Attributes:
        outcome: over all; empty where nothing was gated.
        headline: the outcome in words.
        reason: the changes that decided.
        between: which two were compared.
        changes: each figure's name, before, after and change, and its outcome.
        operators: each operator's place, kind, output, work before, after, difference in ms, and why.
        counted: what the operators' work is counted in.
        hidden: how many more operators changed.
        notes: what could not be compared.
    """

    outcome: str
    headline: str
    reason: str
    between: str
    changes: tuple[tuple[str, ...], ...]
    operators: tuple[tuple[str, ...], ...]
    counted: str
    hidden: int
    notes: tuple[str, ...]


def against_of(comparison: Comparison | None) -> Against | None:
    """The comparison as the page shows it; None without one."""
    if comparison is None:
        return None
    operators = shown_operators(comparison)
    return Against(
        outcome=comparison.verdict or "",
        headline=verdict_words(comparison),
        reason=clean(comparison.reason, 600),
        between=f"before: {clean(comparison.baseline, 80)}; after: {clean(comparison.model, 80)}",
        changes=tuple(
            (*map(str, figure_cells(change)), change.outcome or "not gated") for change in comparison.changes
        ),
        operators=tuple((*operator_cells(change), clean(why(change), 200)) for change in operators),
        counted="cycles" if comparison.evidence == "estimated" else "instructions",
        hidden=len(comparison.operators) - len(operators),
        notes=tuple(clean(note, 600) for note in comparison.notes[:20]),
    )

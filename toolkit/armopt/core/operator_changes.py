"""Which operators of a model correspond to which of an earlier one, and why each costs something else now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from difflib import SequenceMatcher

from armopt.core.comparison_record import Cause, OperatorChange, OperatorSide

# Counts of the same file repeat; where they do not, by some dozen instructions (docs/adr/021-baselines.md).
COUNT_TOLERANCE = 100

Pair = tuple[OperatorSide | None, OperatorSide | None]
Key = Callable[[OperatorSide], Hashable]

# From the surest sign that two operators are one and the same to the weakest. Names come first since they tell equal
# blocks apart; models that are built anew often get others.
_SIGNS: tuple[Key, ...] = (
    lambda side: (side.kind, side.name, side.shape, side.macs),
    lambda side: (side.kind, side.shape, side.macs),
    lambda side: side.kind,
)


def paired(before: Sequence[OperatorSide], after: Sequence[OperatorSide]) -> list[Pair]:
    """Operators of two models side by side, in order; those without a counterpart stand beside None."""
    graph = [[side for side in sides if side.index is not None] for sides in (before, after)]
    rest = [next((side for side in sides if side.index is None), None) for sides in (before, after)]
    pairs = _paired(graph[0], graph[1], _SIGNS)
    return [*pairs, (rest[0], rest[1])] if any(rest) else pairs


def _paired(before: Sequence[OperatorSide], after: Sequence[OperatorSide], signs: Sequence[Key]) -> list[Pair]:
    if not signs or not before or not after:
        return [*((side, None) for side in before), *((None, side) for side in after)]
    first, second = ([signs[0](side) for side in sides] for sides in (before, after))
    pairs: list[Pair] = []
    for what, i1, i2, j1, j2 in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if what == "equal":
            pairs += zip(before[i1:i2], after[j1:j2], strict=True)
        else:
            pairs += _paired(before[i1:i2], after[j1:j2], signs[1:])
    return pairs


def operator_changes(
    before: Sequence[OperatorSide], after: Sequence[OperatorSide], allowed: float | None
) -> tuple[OperatorChange, ...]:
    """The operators whose cost changed, the largest change first.

    Args:
        before: all operators of the baseline.
        after: all operators of the model.
        allowed: share by which an operator that does the same work may take more; None: nothing is gated. What is new
            or does other work is the model's own change, which its total is gated for.
    """
    changes = []
    for one, other in paired(before, after):
        change = OperatorChange(before=one, after=other, causes=_causes(one, other))
        if abs(change.instructions) <= COUNT_TOLERANCE:
            continue
        if allowed is not None and one is not None and other is not None and _does_the_same(one, other):
            over = other.instructions > one.instructions * (1 + allowed) + COUNT_TOLERANCE
            change = change.model_copy(update={"outcome": "regressed" if over else "held"})
        changes.append(change)
    return tuple(sorted(changes, key=lambda change: -abs(change.instructions)))


def _does_the_same(before: OperatorSide, after: OperatorSide) -> bool:
    return before.index is not None and (before.shape, before.macs) == (after.shape, after.macs)


def _causes(before: OperatorSide | None, after: OperatorSide | None) -> tuple[Cause, ...]:
    if before is None or after is None:
        return ("new",) if before is None else ("gone",)
    found: list[Cause] = []
    if before.macs != after.macs:
        found.append("work")
    if before.shape != after.shape:
        found.append("shape")
    if bool(before.instructions) != bool(after.instructions):
        found.append("run")
    else:
        if before.run_by != after.run_by:
            found.append("delegate")
        if before.kernel != after.kernel:
            found.append("kernel")
        if before.bound != after.bound:
            found.append("bound")
    return tuple(found) or ("unknown",)

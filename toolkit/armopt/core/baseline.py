"""A result against an earlier one, its baseline: what became worse by more than is allowed, and not by chance. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from armopt.core.change_words import NAME_LENGTH, against, by, relative_change, share
from armopt.core.comparison_record import Change, Comparison, Criterion, OperatorChange, Outcome
from armopt.core.latency_change import latency_change
from armopt.core.operator_changes import COUNT_TOLERANCE, operator_changes
from armopt.core.proportions import drop_bounds
from armopt.core.regression import ALPHA
from armopt.core.subject import Scored, Subject, not_said, require_alike

# Operators in a sentence, and which of them are worth it: by their share of what became more.
_NAMED, _WORTH_NAMING = 3, 0.1


def compare(before: Subject, after: Subject, max_regression: float | None) -> Comparison:
    """Say what became worse.

    Args:
        before: the baseline.
        after: what is compared with it; it may be another model, or one of another input shape.
        max_regression: share of the baseline's figure by which one may be worse; None: nothing is gated.

    Raises:
        UsageError: the two came about differently, so that their figures say nothing of each other.
    """
    require_alike(before.setting, after.setting)
    operators: tuple[OperatorChange, ...] = ()
    if before.operators is not None and after.operators is not None:
        operators = operator_changes(before.operators, after.operators, max_regression)
    changes = tuple(_changes(before, after, operators, max_regression))
    if max_regression is None:
        changes = tuple(change.model_copy(update={"outcome": None}) for change in changes)
    verdict = None if max_regression is None else _verdict(changes)
    deciding = [change.reason for change in changes if change.outcome == verdict]
    return Comparison(
        baseline=before.model,
        model=after.model,
        device=after.setting.device or "",
        evidence=after.setting.evidence or "",
        max_regression=max_regression,
        verdict=verdict,
        reason="" if verdict is None else "; ".join(deciding) or "the two have no figure in common",
        changes=changes,
        operators=operators,
        notes=tuple(_notes(before, after)),
    )


def _verdict(changes: tuple[Change, ...]) -> Outcome:
    outcomes = [change.outcome for change in changes if change.outcome is not None]
    verdicts: tuple[Outcome, ...] = ("regressed", "inconclusive")
    return next((verdict for verdict in verdicts if verdict in outcomes), "held" if outcomes else "inconclusive")


def _changes(
    before: Subject, after: Subject, operators: tuple[OperatorChange, ...], max_regression: float | None
) -> Iterator[Change]:
    allowed = max_regression or 0.0
    if before.latency_ms is not None and after.latency_ms is not None:
        yield latency_change(before, after, allowed)
    if before.instructions is not None and after.instructions is not None:
        yield _instructions(before.instructions, after.instructions, operators, allowed)
    if before.operators is not None and after.operators is not None:
        yield _operators(operators, allowed)
    bytes_of: tuple[tuple[Criterion, str, int | None, int | None], ...] = (
        ("size", "(gzip)", before.gz_bytes, after.gz_bytes),
        ("sram", "of SRAM", before.sram_bytes, after.sram_bytes),
        ("flash", "of flash", before.flash_bytes, after.flash_bytes),
    )
    for criterion, what, one, other in bytes_of:
        if one is not None and other is not None:
            yield _bytes(criterion, what, one, other, allowed)
    if before.scored is not None and after.scored is not None and _same_test(before.scored, after.scored):
        yield _accuracy(before.scored, after.scored, allowed)


def _instructions(before: int, after: int, operators: tuple[OperatorChange, ...], allowed: float) -> Change:
    over = after > before * (1 + allowed) + COUNT_TOLERANCE
    reason = f"{after:,} instructions, {before:,} before{by(before, after)}{against(over, allowed)}"
    grown = [change for change in operators if change.instructions >= _WORTH_NAMING * (after - before)]
    if over and grown:
        reason += f": mostly {', '.join(map(_named, grown[:_NAMED]))}"
    outcome: Outcome = "regressed" if over else "held"
    figures = {"before": float(before), "after": float(after), "relative": relative_change(before, after)}
    return Change(criterion="instructions", unit="", **figures, outcome=outcome, reason=reason)


def _operators(operators: tuple[OperatorChange, ...], allowed: float) -> Change:
    worse = [change for change in operators if change.outcome == "regressed"]
    if worse:
        more = f" and {len(worse) - _NAMED} more" if len(worse) > _NAMED else ""
        reason = f"for the same work more than {share(allowed)} more is taken by "
        reason += ", ".join(map(_named, worse[:_NAMED])) + more
    else:
        reason = f"no operator takes over {share(allowed)} more for the same work"
    outcome: Outcome = "regressed" if worse else "held"
    figures = {"before": None, "after": None, "relative": None}
    return Change(criterion="operators", unit="", **figures, outcome=outcome, reason=reason)


def _named(change: OperatorChange) -> str:
    """'new #6 CONV_2D conv2d_5/Relu (+83,203)'."""
    side = change.shown
    number = "" if side.index is None else f"#{side.index} "
    new = "new " if change.before is None else ""
    name = f" {side.name[:NAME_LENGTH]}" if side.name else ""
    return f"{new}{number}{side.kind[:NAME_LENGTH]}{name} ({change.instructions:+,})"


def _bytes(criterion: Criterion, what: str, before: int, after: int, allowed: float) -> Change:
    over = after - before > allowed * before
    reason = f"{after:,} bytes {what}, {before:,} before{by(before, after)}{against(over, allowed)}"
    figures = {"before": float(before), "after": float(after), "relative": relative_change(before, after)}
    return Change(criterion=criterion, unit="B", **figures, outcome="regressed" if over else "held", reason=reason)


def _same_test(before: Scored, after: Scored) -> bool:
    same_data = "" in (before.data, after.data) or before.data == after.data
    return same_data and before.metric.name == after.metric.name


def _accuracy(before: Scored, after: Scored, allowed: float) -> Change:
    name = after.metric.name[:NAME_LENGTH]
    drop = after.metric.drop(before.value, after.value)
    over = drop > allowed * abs(before.value) + 1e-9  # a difference of two means is rounded
    reason = f"{name} {after.value:.4g}, {before.value:.4g} before{against(over, allowed)}"
    outcome: Outcome = "regressed" if over else "held"
    bounds = _drop_bounds(before, after)
    if over and bounds is None:
        reason += "; how much chance there is in it is not known"
    elif over and bounds is not None:
        reason += f"; a drop of {drop:.4f}, {bounds[0]:.4f} to {bounds[1]:.4f} by {after.samples:,} samples"
        if bounds[0] <= 0:
            outcome, reason = "inconclusive", f"{reason}, so chance could do that"
    figures = {"before": before.value, "after": after.value, "relative": relative_change(before.value, after.value)}
    return Change(criterion="accuracy", unit=name, **figures, outcome=outcome, reason=reason)


def _drop_bounds(before: Scored, after: Scored) -> tuple[float, float] | None:
    """Where the drop lies if the metric is a share of right answers; None for all others."""
    is_share = after.metric.name.endswith("accuracy") and all(0 <= one.value <= 1 for one in (before, after))
    if not is_share or not before.samples or not after.samples:
        return None
    return drop_bounds(before.value, after.value, (before.samples, after.samples), ALPHA)


def _notes(before: Subject, after: Subject) -> Iterator[str]:
    unsaid = not_said(before.setting, after.setting)
    if unsaid:
        yield f"the baseline does not say its {' and '.join(unsaid)}: taken to be the same"
    if before.operators is None and after.operators is not None:
        yield "the baseline has no operators to compare: make it with armopt measure --by-operator --json"
    elif before.operators is not None and after.operators is None:
        yield "operators are not compared: the baseline has them, and this result does not"
    if None not in (before.host, after.host) and before.host != after.host:
        yield f"measured on {after.host}, the baseline on {before.host}: boards of a kind differ a little"
    if before.scored is not None and after.scored is not None and not _same_test(before.scored, after.scored):
        yield "the metric is not compared: the baseline's is another one, or of other data"

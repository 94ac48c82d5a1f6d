"""A latency against an earlier one: of boards by their raw values, of models by the figure itself. Pure."""

from __future__ import annotations

from armopt.core.change_words import NAME_LENGTH, against, by, relative_change, share, signed
from armopt.core.comparison_record import Change, Outcome
from armopt.core.regression import FEWEST_ROUNDS, FOUND, SMALLEST_MS, Difference, difference, of_rounds
from armopt.core.subject import Subject

# What the model of caches makes of another layout in memory where the instructions are the same.
_SMALLEST_MODELLED_MS = 0.001


def latency_change(before: Subject, after: Subject, allowed: float) -> Change:
    """Compare the latencies of two subjects that have one, of equal evidence.

    Two modelled figures share most of their error, so their difference is taken as it is: intervals do not gate it.
    """
    timed = after.setting.evidence == "measured"
    return _measured(before, after, allowed) if timed else _modelled(before, after, allowed)


def _measured(before: Subject, after: Subject, allowed: float) -> Change:
    sides = [of_rounds(subject.rounds, after.percentile) for subject in (before, after)]
    unstable = [
        f"the {word} is unstable: {subject.unstable_reason}"
        for word, subject in (("baseline", before), ("measurement", after))
        if subject.unstable_reason is not None
    ]
    few = [f"{len(side)} rounds {word}" for word, side in zip(("before", "now"), sides, strict=True)]
    if min(map(len, sides)) < FEWEST_ROUNDS:
        why = f"{' and '.join(few)} are too few to tell a change from noise: {FEWEST_ROUNDS} are needed"
        return _latency(before, after, "inconclusive", why)
    found = difference(*sides)
    outcome, remark = _of_difference(found, allowed)
    words = f"{signed(found.relative)} ({signed(found.low)} to {signed(found.high)}) at {after.percentile}"
    told = f"{found.after_ms:.3g} ms, {found.before_ms:.3g} before, by {' and '.join(few)}: {words}{remark}"
    if unstable:
        return _latency(before, after, "inconclusive", f"{'; '.join(unstable)}; {told}", found)
    return _latency(before, after, outcome, told, found)


def _of_difference(found: Difference, allowed: float) -> tuple[Outcome, str]:
    """What a difference between measurements comes to, and a remark on it."""
    if found.relative > allowed:
        if found.after_ms - found.before_ms <= SMALLEST_MS:
            return "held", f"; less than {SMALLEST_MS * 1e3:g} us, which is never held against a model"
        if found.wanders:
            return "inconclusive", f"; the level wanders from round to round (correlation {found.correlation:.2f})"
        if found.certain:
            return "regressed", against(True, allowed)
        return "inconclusive", f", more than the {share(allowed)} allowed, but chance could do that"
    if found.high > allowed + FOUND and found.before_ms * found.high > SMALLEST_MS:
        return "inconclusive", f"; so much noise could hide {share(found.high)}"
    return "held", ""


def _modelled(before: Subject, after: Subject, allowed: float) -> Change:
    one, other = before.latency_ms or 0.0, after.latency_ms or 0.0
    evidence = after.setting.evidence
    told = f"{other:.3g} ms ({evidence}), {one:.3g} before{by(one, other)}"
    added = sorted(set(after.fallback) - set(before.fallback))
    if added:
        why = f"the CPU runs {', '.join(name[:NAME_LENGTH] for name in added)} now, and what that takes is not known"
        return _latency(before, after, "inconclusive", f"{told}; {why}")
    if evidence == "modelled" and before.error_known != after.error_known:
        which = "now" if before.error_known else "of the baseline"
        return _latency(before, after, "inconclusive", f"{told}; the error of the one {which} is not known")
    over = other - one > max(allowed * one, _SMALLEST_MODELLED_MS)
    return _latency(before, after, "regressed" if over else "held", told + against(over, allowed))


def _latency(before: Subject, after: Subject, outcome: Outcome, reason: str, found: Difference | None = None) -> Change:
    one, other = before.latency_ms or 0.0, after.latency_ms or 0.0
    relative = found.relative if found is not None else relative_change(one, other)
    figures = {"before": one, "after": other, "relative": relative}
    return Change(criterion="latency", unit="ms", **figures, outcome=outcome, reason=reason)

"""Sums over the operators of a measurement, and how two measurements differ by them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from armopt.core.records import OperatorTime


@dataclass(frozen=True)
class KindTime:
    """All operators of one kind: `runs` of them took time, `latency_ms` together."""

    kind: str
    runs: int
    latency_ms: float


@dataclass(frozen=True)
class KindChange:
    """One kind in two models; `difference_ms` is negative where the second takes less."""

    kind: str
    before: KindTime
    after: KindTime

    @property
    def difference_ms(self) -> float:
        """After minus before."""
        return self.after.latency_ms - self.before.latency_ms


def time_by_kind(operators: Sequence[OperatorTime]) -> list[KindTime]:
    """The kinds, slowest first."""
    found: dict[str, KindTime] = {}
    for operator in operators:
        sofar = found.get(operator.kind, KindTime(operator.kind, 0, 0.0))
        ran = operator.instructions > 0
        found[operator.kind] = KindTime(operator.kind, sofar.runs + ran, sofar.latency_ms + operator.latency_ms)
    return sorted(found.values(), key=lambda each: -each.latency_ms)


def changes_by_kind(before: Sequence[OperatorTime], after: Sequence[OperatorTime]) -> list[KindChange]:
    """Each kind that either has, the slowest of both first."""
    first, second = ({each.kind: each for each in time_by_kind(operators)} for operators in (before, after))
    changes = [
        KindChange(kind, first.get(kind, KindTime(kind, 0, 0.0)), second.get(kind, KindTime(kind, 0, 0.0)))
        for kind in {**first, **second}
    ]
    return sorted(changes, key=lambda each: -max(each.before.latency_ms, each.after.latency_ms))

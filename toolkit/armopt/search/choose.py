"""Chooses among built leaves: what no other beats, and which of several that meet the target is delivered. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from armopt.core.records import Metric

# Without an accuracy limit, a leaf that loses more than this on val is not what anybody means by "smaller".
_SILENT_MAX_DROP = 0.01
# Figures this close are equal: modelled latencies of one architecture differ by less from rounding alone.
_SAME_LATENCY = 0.01


@dataclass(frozen=True)
class Candidate:
    """A built leaf with the figures that choosing looks at.

    Attributes:
        path: of the node.
        metric: on val.
        gz_bytes: compressed size.
        latency_ms: p50, None where not observed or of unknown error: such a one is never the faster.
    """

    path: str
    metric: float
    gz_bytes: int
    latency_ms: float | None


def pareto(candidates: Sequence[Candidate], metric: Metric) -> tuple[str, ...]:
    """Paths of the candidates that no other beats or equals in all of metric, size and latency."""

    def figures(c: Candidate) -> tuple[float, float, float]:
        return (-c.metric if metric.higher_is_better else c.metric, c.gz_bytes, _time(c))

    def beats(a: Candidate, b: Candidate) -> bool:
        return figures(a) != figures(b) and all(x <= y for x, y in zip(figures(a), figures(b), strict=True))

    return tuple(c.path for c in candidates if not any(beats(other, c) for other in candidates))


def best(candidates: Sequence[Candidate], metric: Metric, source: float, accuracy_was_asked: bool) -> Candidate | None:
    """The fastest; among equally fast the smallest; among equally small the most accurate. None if there is none.

    Where the target says nothing of accuracy, candidates that drop more than one point on val stand back; if all do,
    the most accurate is taken.
    """
    if not candidates:
        return None
    sign = -1.0 if metric.higher_is_better else 1.0
    pool = list(candidates)
    if not accuracy_was_asked:
        scale = 1.0 if metric.higher_is_better else max(abs(source), 1e-12)
        pool = [c for c in candidates if metric.drop(source, c.metric) <= _SILENT_MAX_DROP * scale]
        if not pool:
            return min(candidates, key=lambda c: sign * c.metric)
    fastest = min(_time(c) for c in pool)
    order: Callable[[Candidate], tuple[float, float]] = lambda c: (c.gz_bytes, sign * c.metric)  # noqa: E731
    return min((c for c in pool if _time(c) <= fastest * (1 + _SAME_LATENCY)), key=order)


def _time(candidate: Candidate) -> float:
    return float("inf") if candidate.latency_ms is None else candidate.latency_ms

"""Each limit of a finished run's target by itself, from what the run's result says. Pure."""

from __future__ import annotations

from armopt.core.gate import Check, Observed, judge
from armopt.core.records import Node, Result
from armopt.core.target import Target


def checks_of(result: Result) -> tuple[Check, ...]:
    """The limits, held against the figures that decided; none where nothing was asked for or nothing was built."""
    node = deciding_node(result)
    if node is None:
        return ()
    further = {
        "metric": node.accuracy.int8,
        "source_metric": result.source_accuracy,
        "gz_bytes": node.gz_bytes,
    }
    measured = result.measurements.get(node.path)
    if measured is not None:
        observed = Observed.by(measured, **further)
    else:
        shared = ("instructions", "latency_ms", "interval_ms", "evidence", "npu")
        observed = Observed(**{name: getattr(node, name) for name in shared}, **further)
    return judge(Target.model_validate(result.target), observed, result.metric).checks


def deciding_node(result: Result) -> Node | None:
    """The chosen node; else the one that the run's verdict speaks of: the first undecided, or the last that missed."""
    if result.chosen is not None:
        return next((node for node in result.nodes if node.path == result.chosen), None)
    alike = [node for node in result.nodes if node.status == result.verdict and node.gz_bytes is not None]
    if not alike:
        return None
    return alike[-1] if result.verdict == "missed" else alike[0]

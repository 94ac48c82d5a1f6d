"""A prediction told operator by operator of the graph: time, kernel, what limits it, what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from armopt.core.counts import Counts
from armopt.core.device import BoardKind
from armopt.core.graph import GraphOperator
from armopt.core.records import OperatorTime
from armopt.latency.advice import advice
from armopt.latency.alignment import align, read_segments
from armopt.latency.bounds import Bounds
from armopt.latency.kernel_names import family, fit, is_generic
from armopt.latency.model import Parts

RUNTIME = "runtime"
_CLASSES_TOLD = 6


def operator_times(
    counts: Counts, parts: Parts, operators: Sequence[GraphOperator], device: BoardKind
) -> tuple[OperatorTime, ...]:
    """One row an operator in the file's order, then the row 'runtime'; together they are the whole prediction.

    Args:
        counts: of one inference.
        parts: of the prediction that was made from them.
        operators: of the file that ran.
        device: the board kind; its core's ports tell what limits an operator.
    """
    owners = align(operators, read_segments(counts))
    bounds = Bounds(counts, device.core)
    rows = []
    for position, operator in enumerate(operators):
        own = [number for number, owner in enumerate(owners) if owner == position]
        spent = _spent(counts, parts, own)
        told: dict[str, Any] = {"name": operator.name, "shape": operator.shape, "macs": operator.macs}
        if own:
            bound = bounds.of(
                own,
                core_ms=spent["core_ms"],
                waiting_ms=spent["cache_ms"] + spent["memory_ms"],
                overhead_ms=spent["overhead_ms"],
            )
            kernel, run_by = _kernel(counts, own, operator.kind), counts.starts[own[0]] or None
            undelegated = run_by == "runtime" and "xnnpack" in counts.starts
            advised = advice(operator, bound, kernel or "", device, undelegated=undelegated)
            told |= {"bound": bound, "kernel": kernel, "run_by": run_by, "advice": advised}
        rows.append(OperatorTime(index=operator.index, kind=operator.kind, **told, **spent))
    nobodys = [number for number, owner in enumerate(owners) if owner is None]
    rows.append(OperatorTime(index=None, kind=RUNTIME, bound="overhead", **_spent(counts, parts, nobodys)))
    return tuple(rows)


def _spent(counts: Counts, parts: Parts, segments: list[int]) -> dict[str, Any]:
    """Time and instructions of some segments, by the names of an `OperatorTime`'s fields."""
    latency_ms, whole = float(parts.total[segments].sum()), float(parts.total.sum())
    classes: Counter[str] = Counter()
    for segment in segments:
        classes.update(counts.by_class(segment))
    return {
        "latency_ms": latency_ms,
        "share": latency_ms / whole if whole else 0.0,
        "core_ms": float(parts.core[segments].sum()),
        "cache_ms": float(parts.cache[segments].sum()),
        "memory_ms": float(parts.memory[segments].sum()),
        "overhead_ms": float(parts.overhead[segments].sum()),
        "instructions": classes.total(),
        "instruction_classes": dict(classes.most_common(_CLASSES_TOLD)),
    }


def _kernel(counts: Counts, segments: list[int], kind: str) -> str | None:
    """The function that executed most, the loops of the runtime apart: of those that suit the operator if any does."""
    executions = counts.executions[segments].sum(axis=0)
    work: Counter[str] = Counter()
    for column in executions.nonzero()[0]:
        if not is_generic(counts.functions[column]):
            work[counts.functions[column]] += int(executions[column]) * len(counts.blocks[column])
    # A clamp after an addition may be longer than the addition, and is not what the operator is there for.
    return max(work, key=lambda name: (fit(kind, family([name]), [name]) == 1, work[name]), default=None)

"""What `armopt measure` prints: measurements as tables, or as a document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.cli.output import print_rich

if TYPE_CHECKING:
    from rich.console import RenderableType

    from armopt.core.gate import Judgement
    from armopt.core.records import Measurement, Node

Named = tuple[Path, "Measurement"]  # a file and what was found of it

# What differs between numbers of threads, and between two files.
_OF_THREADS = {"threads", "latency_ms", "interval_ms", "interval_source", "cycles", "operators"}
_OF_FILE = _OF_THREADS | {"instructions", "instruction_classes"}


def names_of(model: Path, other: Path) -> tuple[str, str]:
    """What two files are called: their names, or with folders where those are the same."""
    return (str(model), str(other)) if model.name == other.name and model != other else (model.name, other.name)


def show(
    model: Path,
    found: Sequence[Measurement],
    judgement: Judgement,
    *,
    operators: int | None = 0,
    compared: Named | None = None,
) -> None:
    """Print the first measurement, the latencies of the others, and where the time goes if that was asked for.

    Args:
        model: the file.
        found: one measurement a number of threads.
        judgement: of the first.
        operators: how many to list; None: all.
        compared: another file, set beside the first measurement.
    """
    if found[0].npu is not None:
        _show_npu(found[0], judgement, operators)
        return
    from armopt.show.measurement import measurement_lines, measurement_table
    from armopt.show.operators import compare_lines, compare_table, operator_lines, operator_table

    shown: list[RenderableType] = [measurement_table(found[0], found[1:])]
    if operators != 0:
        shown += ["", operator_table(found[0], operators), *operator_lines(found[0], operators)]
    if compared is not None:
        shown += ["", compare_table(found[0], compared[1])]
        shown += compare_lines(found[0], compared[1], names_of(model, compared[0]))
    print_rich(*shown, *measurement_lines(found[0], judgement))


def _show_npu(found: Measurement, judgement: Judgement, operators: int | None) -> None:
    from armopt.show.npu import layer_lines, layer_table, npu_lines, npu_table

    shown: list[RenderableType] = [npu_table(found)]
    if operators != 0 and found.npu_layers:
        shown += ["", layer_table(found.npu_layers, operators), *layer_lines(found.npu_layers, operators)]
    print_rich(*shown, *npu_lines(found, judgement))


def document(
    model: Path,
    found: Sequence[Measurement],
    judgement: Judgement,
    target: dict[str, Any],
    compared: Named | None = None,
) -> dict[str, Any]:
    """One node's keys of the first measurement at top level, how they were come by, then the other measurements."""
    from armopt.core.records import SCHEMA_VERSION

    first = found[0]
    in_node = {"latency_ms", "interval_ms", "instructions", "npu", "evidence", "seconds"}
    made = {
        "schema_version": SCHEMA_VERSION,
        **_node(model, first, judgement).model_dump(mode="json", by_alias=True),
        "target": target,
        "verdict": judgement.verdict,
        **first.model_dump(mode="json", exclude=in_node),
    }
    if len(found) > 1:
        made["by_threads"] = [each.model_dump(mode="json", include=_OF_THREADS) for each in found]
    if compared is not None:
        made["compared"] = _compared(first, *compared)
    return made


def _node(model: Path, found: Measurement, judgement: Judgement) -> Node:
    """The measurement under the keys that a node has in result.json."""
    from armopt.compress.audit import audit
    from armopt.core.records import Node

    held = audit(model)
    return Node(
        path=model.stem,
        status=judgement.verdict or "built",
        reason=judgement.reason,
        size_bytes=held.size_bytes,
        gz_bytes=held.gz_bytes,
        sparsity=round(held.sparsity, 6),
        max_codes=held.max_codes,
        latency_ms=found.latency_ms,
        interval_ms=found.interval_ms,
        instructions=found.instructions,
        npu=found.npu,
        evidence=found.evidence,
        seconds=round(found.seconds, 2),
        artifact=str(model),
    )


def _compared(before: Measurement, other: Path, after: Measurement) -> dict[str, Any]:
    """The other file's figures, and each kind of operator before and after."""
    from armopt.core.operator_times import changes_by_kind

    changes = changes_by_kind(before.operators or (), after.operators or ())
    by_kind = [
        {
            "kind": change.kind,
            "before_ms": change.before.latency_ms,
            "after_ms": change.after.latency_ms,
            "difference_ms": change.difference_ms,
        }
        for change in changes
    ]
    return {"artifact": str(other), **after.model_dump(mode="json", include=_OF_FILE), "by_kind": by_kind}

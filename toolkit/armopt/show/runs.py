"""Earlier runs as documents, and as a table of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from armopt.core.records import Result
from armopt.show import figures
from armopt.show.tables import plain_table
from armopt.show.text import clean


def run_document(result: Result, path: str, ended: float) -> dict[str, Any]:
    """One run in short: what `armopt runs --json` prints of it. Figures are the chosen node's."""
    node = next((node for node in result.nodes if node.path == result.chosen), None)
    latency = node.latency_ms.p50 if node is not None and node.latency_ms is not None else None
    return {
        "path": path,
        "finished": datetime.fromtimestamp(ended, UTC).replace(microsecond=0).isoformat(),
        "model": result.model,
        "data": result.data,
        "device": result.device,
        "hosts": list(result.hosts),
        "verdict": result.verdict,
        "chosen": result.chosen,
        "metric": result.metric.name,
        "source_accuracy": _known(result.source_accuracy),
        "accuracy": _known(node.accuracy.int8 if node is not None else None),
        "gz_bytes": node.gz_bytes if node is not None else None,
        "latency_ms": _known(latency),
        "interval_ms": list(node.interval_ms) if node is not None and node.interval_ms is not None else None,
        "instructions": node.instructions if node is not None else None,
        "evidence": node.evidence if node is not None else result.evidence,
        "seconds": result.seconds,
    }


def runs_table(documents: Sequence[Mapping[str, Any]]) -> Table:
    """One row a run; times are this machine's."""
    table = plain_table()
    table.add_column("finished", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("device", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("chosen", overflow="fold")
    for name in ("metric", "gzip", "latency p50"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("folder", overflow="fold")
    for one in documents:
        ended = datetime.fromisoformat(one["finished"]).timestamp()
        verdict = one["verdict"] or ("built" if one["chosen"] else "nothing built")
        known = [one["accuracy"], one["gz_bytes"], one["latency_ms"]]
        words = (figures.metric_value, figures.size, figures.milliseconds)
        table.add_row(
            time.strftime("%Y-%m-%d %H:%M", time.localtime(ended)),
            clean(one["model"], 40),
            clean(", ".join([one["device"], *one["hosts"]]), 60),
            Text(verdict, figures.STYLE_OF_STATUS.get(verdict, "dim")),
            clean(one["chosen"] or "", 60),
            *("" if value is None else word(value) for word, value in zip(words, known, strict=True)),
            clean(one["path"], 200),
        )
    return table


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

"""A run's result: a table of its nodes, and sentences that say what it means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from armopt.core.records import Node, Result
from armopt.show import figures
from armopt.show.tables import plain_table
from armopt.show.text import clean

# Below this many columns a figure and its interval, or its change, share a cell on two lines.
_WIDE = 118


def result_table(result: Result) -> ResultTable:
    """The nodes of a run with their figures; fits 80 columns and uses more where there are."""
    return ResultTable(result)


class ResultTable:
    """Renderable: one row a node, laid out for the console's width."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        wide = options.max_width >= _WIDE
        result = self._result
        table = plain_table(gap=3 if wide else 1)
        table.add_column("node", no_wrap=True)
        table.add_column("status", no_wrap=True)
        metric = clean(result.metric.name, 24)
        table.add_column(f"{metric} (change)" if wide else "metric", justify="right", no_wrap=True)
        for name in ("gzip", "zeros", "codes", "latency p50 (interval)" if wide else "latency p50"):
            table.add_column(name, justify="right", no_wrap=True)
        if wide:
            table.add_column("evidence", no_wrap=True)
            table.add_column("instr.", justify="right", no_wrap=True)
        counted = result.target.get("max_instructions") is not None
        for node in result.nodes:
            chosen = node.path == result.chosen
            cells = [_metric(node, result.source_accuracy, wide), *_file(node), _latency(node, wide, counted)]
            if wide:
                cells += [node.evidence or "", _instructions(node)]
            style = "bold" if chosen else "dim" if node.status in ("skipped", "waiting") else None
            table.add_row(clean(node.path), _status(node, chosen, wide), *cells, style=style)
        yield table


def _status(node: Node, chosen: bool, wide: bool) -> Text:
    between = ", " if wide else "\n"
    return Text(f"{node.status}{between}chosen" if chosen else node.status, figures.STYLE_OF_STATUS[node.status])


def _metric(node: Node, source: float | None, wide: bool) -> str:
    if node.accuracy.int8 is not None:
        against = "" if source is None else figures.change(node.accuracy.int8, source)
        return _beside(figures.metric_value(node.accuracy.int8), against, wide)
    return "" if node.accuracy.keras is None else _beside(figures.metric_value(node.accuracy.keras), "float", wide)


def _file(node: Node) -> tuple[str, str, str]:
    return (
        "" if node.gz_bytes is None else figures.size(node.gz_bytes),
        "" if node.sparsity is None else figures.share(node.sparsity),
        "" if node.max_codes is None else str(node.max_codes),
    )


def _latency(node: Node, wide: bool, counted: bool) -> str:
    lines = []
    if node.latency_ms is not None:
        lines.append(_beside(figures.milliseconds(node.latency_ms.p50), figures.bounds(node), wide))
    if counted and not wide and node.instructions is not None:
        lines.append(f"{_instructions(node)} instr.")
    return "\n".join(lines)


def _instructions(node: Node) -> str:
    return "" if node.instructions is None else figures.count(node.instructions)


def _beside(figure: str, remark: str, wide: bool) -> str:
    """Figure and remark on one line, or below one another where columns are few."""
    if not remark:
        return figure
    return f"{figure} ({remark})" if wide else f"{figure}\n{remark}"


def verdict_lines(result: Result) -> list[Text]:
    """Sentences: what was assumed, what was skipped and why, how the figures came about, and the verdict last."""
    lines = [Text(f"note: {clean(note)}") for note in result.notes]
    lines += [Text(f"{status}: {', '.join(paths)}: {reason}", "dim") for status, reason, paths in _rejected(result)]
    lines.append(Text(_provenance(result), "dim"))
    head, style = _headline(result)
    lines.append(Text.assemble((head, style), f": {clean(result.reason)}" if result.reason else ""))
    if result.out is not None:
        what = "model.tflite" if result.chosen is not None else "result.json"
        with_it = (
            "model_vela.tflite, model.h and result.json" if result.runner == "vela" else "result.json and run_model.py"
        )
        beside = f"; {with_it} are beside it" if result.chosen is not None else ""
        lines.append(Text(f"{clean(Path(result.out) / what)}{beside}"))
    return lines


def _headline(result: Result) -> tuple[str, str]:
    chosen = f"'{clean(result.chosen)}'" if result.chosen is not None else ""
    head = {
        "met": f"TARGET MET by {chosen}",
        "missed": "TARGET MISSED",
        "inconclusive": "INCONCLUSIVE",
        "unstable": "UNSTABLE",
        None: f"BUILT {chosen}" if chosen else "NOTHING WAS BUILT",
    }[result.verdict]
    return head, figures.STYLE_OF_STATUS[result.verdict or "built"]


def _provenance(result: Result) -> str:
    how = {
        "qemu": "ran emulated; instructions were counted and latency was modelled from them",
        "local": "ran on this machine; latency was measured",
        "ssh": "ran on the board; latency was measured",
        "vela": "was compiled for the NPU; latency is the compiler's estimate",
        "fvp": "ran on a simulated NPU; latency was estimated from its cycles",
    }[result.runner]
    if result.evidence == "functional":
        how = "ran the models; how fast means nothing there and is not shown"
    return (
        f"{clean(result.device)} {how}. gzip: size of the compressed file; zeros: share of weights; codes: the most "
        f"distinct values in one tensor. {clean(result.metric.name)} is on the test split, of the .tflite."
    )


def _rejected(result: Result) -> Iterator[tuple[str, str, list[str]]]:
    """Status, reason and paths of the nodes that were not taken for a reason; equal reasons together."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for node in result.nodes:
        if node.reason and node.path != result.chosen and node.status not in ("met", "built", "trained"):
            grouped.setdefault((node.status, clean(node.reason)), []).append(clean(node.path))
    for (status, reason), paths in grouped.items():
        yield status, reason, paths

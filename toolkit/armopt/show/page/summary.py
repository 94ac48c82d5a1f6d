"""A run in few figures: those that matter, those to compare with other runs, and what they all hold for."""

from __future__ import annotations

from armopt.core.records import Node, Result
from armopt.show import figures
from armopt.show.page import verdict
from armopt.show.page.figure import Figure, figure, latency_figure, metric_figure
from armopt.show.text import clean


def tiles(chosen: Node | None, result: Result) -> tuple[Figure, ...]:
    """The four figures that matter of the chosen node, with what to hold them against."""
    if chosen is None:
        return ()
    first = next((node for node in result.nodes if node.path in list(result.measurements)[:1]), None)
    first = first if first is not None and first.path != chosen.path else None
    metric = metric_figure(chosen, result.metric, result.source_accuracy)
    against = f"{metric.remark} against the model given" if metric.remark not in ("", "float") else metric.remark
    latency = latency_figure(chosen)
    known = ", ".join(word for word in (latency.remark, chosen.evidence or "") if word)
    tiles = (
        Figure(latency.name, latency.text, latency.exact, known),
        figure("compressed size", chosen.gz_bytes, figures.size, _against(chosen.gz_bytes, first, "gz_bytes")),
        Figure(metric.name, metric.text, metric.exact, against),
        figure(
            "instructions", chosen.instructions, figures.count, _against(chosen.instructions, first, "instructions")
        ),
    )
    return tuple(tile for tile in tiles if tile.text)


def _against(value: int | None, first: Node | None, key: str) -> str:
    before = getattr(first, key) if first is not None else None
    if not before or value is None or first is None:
        return ""
    change = f"{value / before - 1:+.0%}"
    return (
        f"as '{clean(first.path, 40)}'" if change in ("+0%", "-0%") else f"{change} against '{clean(first.path, 40)}'"
    )


def compared(chosen: Node | None, result: Result) -> tuple[Figure, ...]:
    """The run's column where several stand side by side: always the same rows."""
    node = chosen or Node(path="", status="waiting")
    metric = metric_figure(node, result.metric, result.source_accuracy)
    latency = latency_figure(node)
    return (
        Figure("verdict", verdict.headline(result)),
        Figure("chosen", clean(result.chosen or "", 80)),
        Figure("device", clean(result.device, 40), "", ", ".join(clean(host, 64) for host in result.hosts[:4])),
        Figure("target", verdict.target_words(result)),
        Figure("metric", f"{metric.name} {metric.text}" if metric.text else "", metric.exact, metric.remark),
        Figure("latency p50", latency.text, latency.exact, latency.remark),
        Figure("evidence", node.evidence or result.evidence),
        figure("instructions", node.instructions, figures.count),
        figure("compressed (gzip)", node.gz_bytes, figures.size),
        figure("size", node.size_bytes, figures.size),
        figure("zeros", node.sparsity, figures.share),
        figure("distinct codes", node.max_codes, str),
    )


def environment(result: Result) -> tuple[Figure, ...]:
    """What the figures hold for: the device's side first, then what built the nodes."""
    found = next(iter(result.measurements.values()), None)
    rows: dict[str, str] = {"device": result.device, "boards": ", ".join(result.hosts), "runner": result.runner}
    if found is not None:
        rows |= {
            "threads": str(found.threads),
            "clock": f"{found.freq_mhz:,} MHz",
            "interval": found.interval_source or "",
        }
        rows |= {f"{name.replace('_', ' ')} (device)": value for name, value in found.environment.items()}
    rows |= {"data": result.data, "armopt": result.armopt_version}
    rows |= dict(result.environment)
    rows |= {"finished": (result.finished or "").replace("T", " ").replace("+00:00", " UTC")}
    rows |= {"took": figures.seconds(result.seconds)}
    return tuple(Figure(clean(name, 60), clean(value, 400)) for name, value in list(rows.items())[:60] if value)

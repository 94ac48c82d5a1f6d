"""Figures in words, the same everywhere: three significant digits, units that a stranger knows."""

from __future__ import annotations

from armopt.core.records import Node
from armopt.show.text import clean

# Of a node's or a verdict's status; colour only repeats what the word says.
STYLE_OF_STATUS = {
    "met": "bold green",
    "missed": "red",
    "inconclusive": "yellow",
    "unstable": "yellow",
    "built": "green",
    "trained": "cyan",
    "skipped": "dim",
    "failed": "bold red",
    "waiting": "dim",
}


def milliseconds(value: float) -> str:
    """0.20712 -> '0.207 ms', 1234.5 -> '1,234 ms'."""
    return f"{number(value)} ms"


def number(value: float) -> str:
    """Three significant digits without an exponent where that is readable."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def interval(bounds: tuple[float, float]) -> str:
    """(0.17, 0.26) -> '0.17 to 0.26'. A point is what a compiler's estimate has in place of an interval."""
    low, high = bounds
    return "error not known" if low == high else f"{number(low)} to {number(high)}"


def bounds(node: Node) -> str:
    """A node's interval; '' where there is none, and for a compiler's estimate, which has no error that is known."""
    return "" if node.interval_ms is None or node.evidence == "estimated" else interval(node.interval_ms)


def size(value: int) -> str:
    """Bytes -> '9,812 B', '98.1 kB', '1.20 MB' (1 kB is 1,000 bytes)."""
    if value < 10_000:
        return f"{value:,} B"
    if value < 1_000_000:
        return f"{value / 1e3:.1f} kB"
    return f"{value / 1e6:.2f} MB"


def count(value: int) -> str:
    """Instructions -> '812', '12.5 k', '16.3 M', '2.10 G'."""
    for limit, divisor, unit in ((10_000, 1, ""), (10**6, 10**3, " k"), (10**9, 10**6, " M")):
        if value < limit:
            return f"{value:,}" if divisor == 1 else f"{value / divisor:.1f}{unit}"
    return f"{value / 1e9:.2f} G"


def share(value: float) -> str:
    """0.5 -> '50%', 0.0123 -> '1.2%'; never '0%' for something."""
    return f"{value:.0%}" if value in (0, 1) or value >= 0.1 else f"{value:.1%}"


def seconds(value: float) -> str:
    """Wall time: '0.4 s', '12 s', '3 min 20 s'."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def metric_value(value: float) -> str:
    """The task's metric, four digits."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def change(value: float, source: float) -> str:
    """Against the model as given, with its sign: '-0.0028'; '0' where equal."""
    difference = value - source
    return f"{difference:+.4f}" if abs(difference) >= 5e-5 else "0"


def node_figures(node: Node) -> str:
    """What was observed of a node, on one line: 'metric 0.9750, 9,812 B gzip, 0.207 ms modelled (0.17 to 0.26)'."""
    parts = []
    value = node.accuracy.int8 if node.accuracy.int8 is not None else node.accuracy.keras
    if value is not None:
        parts.append(f"metric {metric_value(value)}")
    if node.gz_bytes is not None:
        parts.append(f"{size(node.gz_bytes)} gzip")
    if node.latency_ms is not None:
        between = bounds(node)
        parts.append(
            f"{milliseconds(node.latency_ms.p50)} {node.evidence or ''}".rstrip() + (f" ({between})" if between else "")
        )
    elif node.instructions is not None:
        parts.append(f"{count(node.instructions)} instructions")
    return clean(", ".join(parts))

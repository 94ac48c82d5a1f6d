"""One measurement as a table and sentences, or several that differ in threads only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from armopt.core.gate import Judgement
from armopt.core.records import Measurement
from armopt.show import figures
from armopt.show.tables import plain_table
from armopt.show.text import clean


def measurement_table(found: Measurement, more_threads: Sequence[Measurement] = ()) -> Table:
    """One row a figure; figures that were not observed have none. `more_threads` add their latencies."""
    table = plain_table()
    table.add_column("figure", no_wrap=True)
    table.add_column("value", overflow="fold")
    rows: list[tuple[str, str]] = [
        ("device", f"{found.device}, {found.freq_mhz} MHz, {_threads(found)}"),
        ("runner", f"{found.runner}, {found.runtime}, {found.environment.get('kernels', 'its own')} kernels"),
    ]
    if found.latency_ms is not None:
        latency = found.latency_ms
        rows.append(("latency p50", _latency(found)))
        for name, slower in (("p90", latency.p90), ("p95", latency.p95), ("max", latency.max)):
            if slower is not None:
                rows.append((f"latency {name}", figures.milliseconds(slower)))
    rows += [(f"with {_threads(other)}", _latency(other)) for other in more_threads]
    if found.instructions is not None:
        rows.append(("instructions", f"{found.instructions:,}"))
    if found.instruction_classes:
        top = list(found.instruction_classes.items())[:6]
        rows.append(("of these", ", ".join(f"{name} {figures.count(number)}" for name, number in top)))
    if found.cycles is not None:
        rows.append(("cycles", f"{found.cycles:,} (modelled)"))
    if found.outputs_compared:
        agree = "equal the host's" if found.outputs_equal else f"DIFFER from the host's: {found.output_difference}"
        rows.append(("outputs", f"of {found.outputs_compared} samples {agree}"))
    for name, value in rows:
        table.add_row(name, clean(value))
    return table


def _threads(found: Measurement) -> str:
    return f"{found.threads} thread{'s' if found.threads != 1 else ''}"


def _latency(found: Measurement) -> str:
    """'23 ms (modelled, 20 to 26)'."""
    if found.latency_ms is None:
        return "not observed"
    interval = f", {figures.interval(found.interval_ms)}" if found.interval_ms is not None else ""
    return f"{figures.milliseconds(found.latency_ms.p50)} ({found.evidence}{interval})"


def measurement_lines(found: Measurement, judgement: Judgement) -> list[Text]:
    """Where the interval comes from, and the verdict if limits were given."""
    lines = []
    if found.interval_source:
        lines.append(Text(f"interval: {clean(found.interval_source)}", "dim"))
    if judgement.verdict is not None:
        style = figures.STYLE_OF_STATUS[judgement.verdict]
        lines.append(Text.assemble((judgement.verdict.upper(), style), f": {clean(judgement.reason)}"))
    return lines

"""One measurement as a table and sentences."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from armopt.core.gate import Judgement
from armopt.core.records import Measurement
from armopt.show import figures
from armopt.show.tables import plain_table
from armopt.show.text import clean


def measurement_table(found: Measurement) -> Table:
    """One row a figure; figures that were not observed have none."""
    table = plain_table()
    table.add_column("figure", no_wrap=True)
    table.add_column("value", overflow="fold")
    rows: list[tuple[str, str]] = [
        ("device", f"{found.device}, {found.freq_mhz} MHz, {found.threads} thread{'s' if found.threads != 1 else ''}"),
        ("runner", f"{found.runner}, {found.runtime}"),
    ]
    if found.latency_ms is not None:
        latency = found.latency_ms
        rows.append(("latency p50", f"{figures.milliseconds(latency.p50)} ({found.evidence})"))
        if found.interval_ms is not None:
            rows.append(("interval", f"{figures.interval(found.interval_ms)} ms"))
        for name, slower in (("p90", latency.p90), ("p95", latency.p95), ("max", latency.max)):
            if slower is not None:
                rows.append((f"latency {name}", figures.milliseconds(slower)))
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


def measurement_lines(found: Measurement, judgement: Judgement) -> list[Text]:
    """Where the interval comes from, and the verdict if limits were given."""
    lines = []
    if found.interval_source:
        lines.append(Text(f"interval: {clean(found.interval_source)}", "dim"))
    if judgement.verdict is not None:
        style = figures.STYLE_OF_STATUS[judgement.verdict]
        lines.append(Text.assemble((judgement.verdict.upper(), style), f": {clean(judgement.reason)}"))
    return lines

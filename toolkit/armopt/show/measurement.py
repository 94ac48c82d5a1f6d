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
        ("runner", _runner(found)),
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
    if found.score is not None:
        rows.append((found.score.metric, f"{found.score.value:.4f} on {found.score.samples:,} labelled samples"))
    rows += _seen_on_board(found)
    for name, value in rows:
        table.add_row(name, clean(value))
    return table


def _runner(found: Measurement) -> str:
    if found.host is None:
        return f"{found.runner}, {found.runtime}, {found.environment.get('kernels', 'its own')} kernels"
    board = ", ".join(found.environment[key] for key in ("board", "system") if key in found.environment)
    return f"{found.runner}: {found.host}" + (f" ({board})" if board else "") + f", {found.runtime}"


def _seen_on_board(found: Measurement) -> list[tuple[str, str]]:
    """What a board told beside latencies."""
    rows = []
    if found.load_ms is not None:
        rows.append(("loading", figures.milliseconds(found.load_ms)))
    if found.peak_memory_kib is not None:
        rows.append(("peak memory", f"{found.peak_memory_kib / 1024:.0f} MiB, Python and the runtime included"))
    before, after = found.temperature_c or (None, None)
    if before is not None and after is not None:
        rows.append(("temperature", f"{before:.0f} °C before, {after:.0f} °C after"))
    if found.throttled is not None:
        rows.append(("throttled", "yes" if found.throttled else "no"))
    if "governor" in found.environment and found.latency_ms is not None:
        rows.append(("governor", found.environment["governor"]))
    if found.sustained:
        rows.append(("sustained", _sustained(found)))
    return rows


def _sustained(found: Measurement) -> str:
    """'2.10 ms at first, 2.95 ms after 600 s: 1.40 times; at most 3.02 ms'."""
    first, last = found.sustained[0], found.sustained[-1]
    most = max(point.p50_ms for point in found.sustained)
    now, then = figures.milliseconds(last.p50_ms), figures.milliseconds(first.p50_ms)
    return (
        f"{then} at first, {now} after {last.seconds:.0f} s ({last.p50_ms / first.p50_ms:.2f} times); "
        f"at most {figures.milliseconds(most)} in the median of a slice"
    )


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

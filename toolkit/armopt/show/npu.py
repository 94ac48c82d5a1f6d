"""What an Ethos-U's compiler estimates: of one model, operator by operator, and of all nodes of a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from armopt.core.gate import Judgement
from armopt.core.npu import NpuBound, NpuEstimate, NpuLayer
from armopt.core.records import Measurement, Node, Result
from armopt.show import figures
from armopt.show.kernels import short_shape
from armopt.show.tables import plain_table
from armopt.show.text import clean

WORDS_OF_BOUND: dict[NpuBound, str] = {"mac": "multiplying", "weights": "weights", "activations": "activations"}
_TOP = 10
_UNITS = (("npu", "NPU"), ("sram", "SRAM"), ("dram", "DRAM"), ("flash", "flash"))


def npu_table(found: Measurement) -> Table:
    """One row a figure of one model."""
    npu = found.npu
    assert npu is not None
    table = plain_table()
    table.add_column("figure", no_wrap=True)
    table.add_column("value", overflow="fold")
    for name, value in _rows(found, npu):
        table.add_row(name, clean(value))
    return table


def _rows(found: Measurement, npu: NpuEstimate) -> list[tuple[str, str]]:
    at_work = _by_unit(npu.cycles_by_unit, "{:,}")
    rows = [
        ("device", f"{found.device}, {npu.clock_mhz:g} MHz"),
        ("runner", found.runtime),
        ("latency", _latency(found, npu)),
        ("cycles", f"{npu.cycles:,}" + (f"; at work: {at_work}" if at_work else "")),
        ("weights", f"{npu.encoded_weight_bytes:,} bytes encoded of {npu.original_weight_bytes:,} ({_encoded(npu)})"),
        ("traffic", _by_unit(npu.traffic_bytes, "{:,} B") or "none"),
        ("memory", _memory(npu)),
        ("bound by", _bounds(npu) or "nothing: the NPU does nothing"),
    ]
    if found.outputs_compared:
        agree = "equal the host's" if found.outputs_equal else f"DIFFER from the host's: {found.output_difference}"
        rows.append(("outputs", f"of {found.outputs_compared} sample {agree}"))
    if npu.fallback_ops:
        rows.append(("on the CPU", f"{npu.fallback_words}: not estimated"))
    return rows


def _latency(found: Measurement, npu: NpuEstimate) -> str:
    if found.latency_ms is not None:
        by = "estimated by the compiler" if found.runner == "vela" else "cycles of the NPU alone, simulated"
        return f"{figures.milliseconds(found.latency_ms.p50)} ({by}, error not known)"
    return f"not known; the NPU's part: {figures.milliseconds(npu.npu_ms)}" if npu.cycles else "not known"


def _by_unit(values: dict[str, int], form: str) -> str:
    return ", ".join(f"{title} {form.format(values[unit])}" for unit, title in _UNITS if values.get(unit))


def _memory(npu: NpuEstimate) -> str:
    parts = (("SRAM", npu.sram_bytes), ("flash", npu.flash_bytes), ("DRAM", npu.dram_bytes))
    return ", ".join(f"{name} {size:,} B" for name, size in parts if size is not None)


def _encoded(npu: NpuEstimate) -> str:
    whole = npu.original_weight_bytes
    return figures.share(npu.encoded_weight_bytes / whole) if whole else "none"


def _bounds(npu: NpuEstimate) -> str:
    return ", ".join(f"{WORDS_OF_BOUND[bound]} {figures.share(share)}" for bound, share in npu.bound_shares.items())


def layer_table(layers: Sequence[NpuLayer], most: int | None = _TOP) -> Table:
    """The operators that take longest and those that the CPU runs, then lines for the others and for all."""
    ranked = sorted(layers, key=lambda layer: (not layer.on_cpu, -layer.cycles))
    top = ranked[:most]
    table = plain_table(gap=2)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("operator", no_wrap=True)
    table.add_column("output", no_wrap=True)
    for name in ("cycles", "share", "multiply", "weights", "activ.", "encoded"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    for layer in top:
        table.add_row(
            "" if layer.index is None else str(layer.index),
            clean(layer.kind, 24),
            short_shape(layer.shape),
            *_cycles(layer),
            WORDS_OF_BOUND[layer.bound] if layer.bound else "on the CPU",
        )
    table.add_section()
    if len(ranked) > len(top):
        _sum_row(table, f"{len(ranked) - len(top)} more", ranked[len(top) :])
    _sum_row(table, "all", ranked)
    return table


def _cycles(layer: NpuLayer) -> tuple[str, ...]:
    if layer.on_cpu:
        return ("",) * 6
    units = (layer.mac_cycles, layer.weight_cycles, layer.activation_cycles)
    return (
        f"{layer.cycles:,}",
        figures.share(round(layer.share, 6)),
        *(f"{cycles:,}" for cycles in units),
        figures.size(layer.encoded_weight_bytes) if layer.encoded_weight_bytes else "",
    )


def _sum_row(table: Table, name: str, layers: Sequence[NpuLayer]) -> None:
    cycles, share = sum(layer.cycles for layer in layers), sum(layer.share for layer in layers)
    encoded = sum(layer.encoded_weight_bytes for layer in layers)
    table.add_row("", name, "", f"{cycles:,}", figures.share(round(share, 6)), "", "", "", figures.size(encoded), "")


def layer_lines(layers: Sequence[NpuLayer], most: int | None = _TOP) -> list[Text]:
    """What would help the operators that take longest; each sentence once."""
    ranked = sorted(layers, key=lambda layer: (not layer.on_cpu, -layer.cycles))[:most]
    those: dict[str, list[NpuLayer]] = {}
    for layer in ranked:
        if layer.advice and (layer.on_cpu or layer.share >= 0.01):
            those.setdefault(layer.advice, []).append(layer)
    if not those:
        return []
    lines = [Text("what would help:", "bold")]
    for advice, layers_of in those.items():
        named = ", ".join(f"#{layer.index}" if layer.index is not None else clean(layer.kind) for layer in layers_of)
        lines.append(Text(f"  {named}: {clean(advice, 400)}"))
    return lines


def npu_lines(found: Measurement, judgement: Judgement) -> list[Text]:
    """What would make the whole model faster, what the figures are worth, and the verdict if limits were given."""
    lines = [Text(clean(found.npu.advice))] if found.npu is not None and found.npu.advice else []
    if found.interval_source:
        lines.append(Text(clean(found.interval_source), "dim"))
    if judgement.verdict is not None:
        style = figures.STYLE_OF_STATUS[judgement.verdict]
        lines.append(Text.assemble((judgement.verdict.upper(), style), f": {clean(judgement.reason, 600)}"))
    return lines


def nodes_table(result: Result) -> Table:
    """What each leaf costs on the NPU, beside the first leaf: plain quantization where the tree has it."""
    leaves = [node for node in result.nodes if node.npu is not None]
    table = plain_table(gap=2)
    metric = clean(result.metric.name, 24)
    table.add_column("node", no_wrap=True)
    for name in (metric, "latency", "encoded weights", "SRAM", "flash" if _has_flash(leaves) else "DRAM"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bound by")
    first = leaves[0].npu if leaves else None
    for node in leaves:
        npu = node.npu
        assert npu is not None and first is not None
        constants = npu.flash_bytes if npu.flash_bytes is not None else npu.dram_bytes
        table.add_row(
            clean(node.path),
            _metric(node),
            "not known" if npu.fallback_ops else _beside(figures.milliseconds(npu.npu_ms), npu.cycles, first.cycles),
            _beside(figures.size(npu.encoded_weight_bytes), npu.encoded_weight_bytes, first.encoded_weight_bytes),
            figures.size(npu.sram_bytes),
            "" if constants is None else figures.size(constants),
            f"on the CPU: {npu.fallback_words}" if npu.fallback_ops else _bounds(npu),
            style="bold" if node.path == result.chosen else None,
        )
    return table


def chosen_lines(result: Result) -> list[Table | Text]:
    """What binds the chosen node, operator by operator, and what would help it; nothing where it was not told."""
    found = result.measurements.get(result.chosen or "")
    if found is None or found.npu is None or not found.npu_layers:
        return []
    head = Text(f"'{clean(result.chosen or '')}': {clean(found.npu.advice)}")
    return [Text(""), layer_table(found.npu_layers), head, *layer_lines(found.npu_layers)]


def _metric(node: Node) -> str:
    value = node.accuracy.int8
    return "" if value is None else figures.metric_value(value)


def _has_flash(leaves: Sequence[Node]) -> bool:
    return any(node.npu is not None and node.npu.flash_bytes is not None for node in leaves)


def _beside(figure: str, value: int, first: int) -> str:
    return figure if value == first or not first else f"{figure} ({value / first - 1:+.0%})"

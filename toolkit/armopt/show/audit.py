"""A .tflite's audit as a table and a sentence."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from armopt.core.records import Audit, LayerAudit
from armopt.show import figures
from armopt.show.tables import plain_table
from armopt.show.text import clean


def audit_table(found: Audit) -> Table:
    """One row a weight tensor; what was promised is shown where there was a promise."""
    promised = any(layer.constraint for layer in found.layers)
    table = plain_table()
    table.add_column("tensor", overflow="fold")
    table.add_column("operator", overflow="fold")
    table.add_column("type", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("zeros", justify="right", no_wrap=True)
    table.add_column("codes", justify="right", no_wrap=True)
    table.add_column("per channel", justify="right")
    if promised:
        table.add_column("promised")
    for layer in found.layers:
        cells = [
            clean(layer.name, 80),
            clean(layer.kind, 40),
            clean(layer.dtype, 12),
            "x".join(map(str, layer.shape)),
            figures.share(layer.sparsity),
            str(layer.codes),
            str(layer.codes_per_channel),
        ]
        table.add_row(*cells, *([_promise(layer)] if promised else []))
    return table


def _promise(layer: LayerAudit) -> str:
    parts = []
    if layer.zeros_promised is not None:
        parts.append(f"{layer.zeros_promised:,} zeros kept")
    if layer.codes_promised is not None:
        parts.append(f"{layer.codes_promised} codes per {layer.codes_scope or 'tensor'}")
    return ", ".join(parts)


def audit_lines(found: Audit) -> list[Text]:
    """The totals, and what could not be checked."""
    lines = [
        Text(
            f"{figures.size(found.size_bytes)}, {figures.size(found.gz_bytes)} compressed (gzip); "
            f"{figures.share(found.sparsity)} of the weights are zero; at most {found.max_codes} codes in a tensor"
        ),
        Text(f"sha256 {clean(found.sha256)}", "dim"),
    ]
    lines += [Text(f"not proved in this file: {clean(name)}", "yellow") for name in found.unproven]
    return lines

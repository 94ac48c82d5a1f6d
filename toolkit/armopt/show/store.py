"""Finished nodes as a table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from armopt.show import figures
from armopt.show.tables import plain_table
from armopt.show.text import clean


def store_table(root: str, nodes: Sequence[Mapping[str, Any]]) -> Table:
    """One row a node; `nodes` are the documents that `armopt store ls --json` prints."""
    total = figures.size(sum(node["size_bytes"] for node in nodes))
    table = plain_table(title=clean(f"{root}: {len(nodes)} entries, {total}"))
    table.add_column("key", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("node", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("built in", justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    for node in nodes:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(node["last_used"]))
        name = clean(node["node"]) or clean(node["kind"])
        table.add_row(
            clean(node["key"], 64)[:12],
            clean(node["model"]),
            name,
            figures.size(node["size_bytes"]),
            figures.seconds(node["seconds"]),
            used,
        )
    return table

"""`armopt store`: finished nodes on disk. Everything in it can be built again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from armopt.cli.output import json_option, print_json, print_rich, say

if TYPE_CHECKING:
    from armopt.search.store import Entry

_DAY_S = 24 * 3600.0


@click.group()
def command() -> None:
    """List finished nodes, or remove old ones."""


@command.command("ls")
@json_option
def list_entries(as_json: bool) -> int:
    """List finished nodes, last used first."""
    store, entries = _entries()
    entries = [entry for entry in entries if entry.record.get("kind") == "node"]  # measurements are of no interest here
    if as_json:
        print_json({"root": store, "nodes": [_document(entry) for entry in entries]})
    else:
        from armopt.show.store import store_table

        print_rich(store_table(store, [_document(entry) for entry in entries]))
    return 0


@command.command("gc")
@click.option("--older-than", "days", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="DAYS",
              help="Remove what was not used for so long; 0 removes everything.")  # fmt: skip
@click.option("--max-size", metavar="BYTES", help="Then remove the longest unused until the rest fits, such as 2000MB.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, remove nothing.")
@json_option
def collect(days: float, max_size: str | None, dry_run: bool, as_json: bool) -> int:
    """Remove nodes that were not used for a while. They are built again when they are needed."""
    from armopt.core.target import parse_bytes
    from armopt.search.store import Store

    limit = parse_bytes(max_size) if max_size is not None else None
    store = Store.open()
    doomed: list[Entry] = []
    kept_bytes, oldest = 0, time.time() - days * _DAY_S
    for entry in store.entries():  # last used first, so that the longest unused is what no longer fits
        size = entry.size_bytes
        if entry.last_used <= oldest or (limit is not None and kept_bytes + size > limit):
            doomed.append(entry)
        else:
            kept_bytes += size
    freed = sum(entry.size_bytes for entry in doomed)
    removed = len(doomed) if dry_run else store.remove([entry.key for entry in doomed])
    if as_json:
        print_json({"removed": removed, "freed_bytes": freed, "kept_bytes": kept_bytes, "dry_run": dry_run})
    else:
        say(f"{'would remove' if dry_run else 'removed'} {removed} nodes, {freed / 1e6:.1f} MB")
    return 0


def _entries() -> tuple[str, list[Entry]]:
    from armopt.search.store import Store

    store = Store.open()
    return str(store.root), store.entries()


def _document(entry: Entry) -> dict[str, object]:
    return {
        "key": entry.key,
        "kind": str(entry.record.get("kind", "node")),
        "node": entry.node,
        "model": entry.model,
        "size_bytes": entry.size_bytes,
        "last_used": round(entry.last_used, 3),
        "seconds": entry.seconds,
        "path": str(entry.path),
    }

"""What a doctor found, as a table, and what it looked at, as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from armopt.show.tables import plain_table
from armopt.show.text import clean


def findings_table(findings: Sequence[Mapping[str, str]]) -> Table:
    """One row a finding; they are as `armopt doctor --json` prints them."""
    table = plain_table()
    table.add_column("", no_wrap=True)
    table.add_column("finding", overflow="fold")
    table.add_column("how to mend it", overflow="fold")
    for finding in findings:
        table.add_row(*(clean(finding[key], 400) for key in ("severity", "what", "mend")))
    return table


def board_line(facts: Mapping[str, Any]) -> str:
    """A board's facts in short; they are as `armopt doctor --json` prints them."""
    cores = sum(len(group["processors"]) for group in facts["cores"])
    clocks = [policy["current_mhz"] for policy in facts["policies"] if policy["current_mhz"]]
    degrees = [zone["celsius"] for zone in facts["temperatures"]]
    memory, place, runtime = facts["memory"] or {}, facts["folder"], facts["runtime"]
    parts = [
        facts["board"] or facts["machine"],
        facts["system"] or facts["kernel"],
        f"Python {facts['python']}",
        f"{facts['libc']} {facts['libc_version']}" if facts["libc_version"] else "",
        f"{runtime['name']} {runtime['version']}" if runtime and runtime["name"] else "no runtime",
        f"{cores} cores" + (f" at {max(clocks):.0f} MHz" if clocks else ""),
        f"{max(degrees):.0f} °C" if degrees else "",
        f"{memory['available_bytes'] / 1e9:.1f} GB of memory free" if memory.get("available_bytes") else "",
        f"{place['free_bytes'] / 1e9:.1f} GB of disk free" if place else "",
    ]
    return clean(", ".join(part for part in parts if part), 600)


def machine_line(facts: Mapping[str, Any]) -> str:
    """This machine's facts in short."""
    packages = [f"{name} {version}" for name, version in facts["packages"].items() if version]
    free = f"{facts['cache_free_bytes'] / 1e9:.1f} GB of disk free for the cache"
    return clean(", ".join([f"Python {facts['python']}", *packages, free]), 600)

"""What the emulator has and lacks, and how the virtual board is, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from armopt.show.tables import plain_table
from armopt.show.text import clean


def emulator_table(status: Mapping[str, Any]) -> Table:
    """One row a program or folder; `status` is the document that `armopt emulator status --json` prints."""
    table = plain_table()
    table.add_column("part", no_wrap=True)
    table.add_column("where", overflow="fold")
    for name, path in status["programs"].items():
        version = f" (version {status['qemu']})" if name.startswith("qemu") and status["qemu"] else ""
        table.add_row(clean(name), clean(f"{path}{version}") if path else "missing")
    if status["missing_packages"]:
        table.add_row("to install", clean(f"apt-get install {' '.join(status['missing_packages'])}"))
    for path in status["sysroots"] or ["not yet: armopt emulator setup"]:
        table.add_row("file system", clean(path))
    for path in status["plugins"] or ["not yet: armopt emulator setup"]:
        table.add_row("plugin", clean(path))
    return table


def board_table(status: Mapping[str, Any]) -> Table:
    """How the virtual board is; `status` is the document that `armopt emulator board status --json` prints."""
    table = plain_table()
    table.add_column("virtual board", no_wrap=True)
    table.add_column("runs" if status["running"] else "does not run: armopt emulator board start", overflow="fold")
    if status["running"]:
        host = status["host"]
        login = f"ssh -i {host['identity']} {host['ssh']}"
        reach = "reaches the network" if status["online"] else "SSH alone leads in or out"
        table.add_row("host", f"{clean(host['name'])} (kind {clean(host['device'])})")
        table.add_row("log in", clean(login))
        table.add_row("process", clean(f"{status['pid']}, up for {status['uptime_s']:.0f} s"))
        table.add_row("memory", clean(f"{status['memory_mib']} MiB, of it at most {status['home_mib']} for its home"))
        if status["resident_mib"] is not None:
            table.add_row("of this machine", clean(f"{status['resident_mib']} MiB"))
        table.add_row("network", reach)
        table.add_row("image", clean(status["image"]))
    table.add_row("console", clean(status["console"]))
    return table

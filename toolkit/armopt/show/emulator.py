"""What the emulator has and lacks, as a table."""

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

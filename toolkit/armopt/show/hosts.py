"""The registered boards as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from armopt.core.host import Host
from armopt.show.tables import plain_table
from armopt.show.text import clean


def hosts_table(hosts: Sequence[Host]) -> Table:
    """One row a board."""
    table = plain_table()
    table.add_column("host", no_wrap=True)
    table.add_column("device", no_wrap=True)
    table.add_column("ssh", overflow="fold")
    table.add_column("python", overflow="fold")
    table.add_column("folder", overflow="fold")
    for host in hosts:
        table.add_row(*map(clean, (host.name, host.device, host.ssh, host.python, host.folder)))
    return table

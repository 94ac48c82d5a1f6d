"""The registered boards as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from armopt.core.host import Host
from armopt.show.tables import plain_table
from armopt.show.text import clean


def states_table(hosts: Sequence[Host], states: Mapping[str, str]) -> Table:
    """One row a board: what it is, and whether it can be reached."""
    table = plain_table()
    table.add_column("your board", no_wrap=True)
    table.add_column("device", no_wrap=True)
    table.add_column("ssh", overflow="fold")
    table.add_column("state", overflow="fold")
    for host in hosts:
        table.add_row(*map(clean, (host.name, host.device, host.ssh, states[host.name])))
    return table


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

"""`armopt devices`: the board kinds that armopt knows."""

from __future__ import annotations

import click

from armopt.cli.output import json_option, print_json, print_rich


@click.command()
@json_option
def command(as_json: bool) -> int:
    """List the board kinds: a name for --device, and what stands for the board when it is emulated."""
    from armopt.catalog.devices import find_device, list_devices

    kinds = [find_device(name) for name in list_devices()]
    if as_json:
        print_json([kind.model_dump(mode="json") for kind in kinds])
    else:
        from armopt.show.devices import devices_table

        print_rich(devices_table(kinds))
    return 0

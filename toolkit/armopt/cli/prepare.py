"""`armopt hosts prepare`: the runtime onto a board, tried once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from armopt.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from armopt.core.device import RuntimeName


@click.command("prepare")
@click.argument("name")
@click.option("--runtime", type=click.Choice(["litert", "tflite-runtime"]), help="Default: the first that runs there.")
@click.option("--offline", is_flag=True, help="Never fetch anything: the board's wheels have to be in the cache.")
@json_option
def prepare_command(name: str, runtime: RuntimeName | None, offline: bool, as_json: bool) -> int:
    """Bring the runtime to the board NAME and run a small model there. The board itself needs no internet.

    Everything goes into a folder of the login's own (~/.armopt, nobody else may read it). What is there already is
    checked and not sent again. `measure` and `deploy` do the same by themselves.
    """
    from contextlib import closing

    from armopt.catalog.devices import find_device
    from armopt.catalog.hosts import find_host
    from armopt.runners.ssh.runner import BoardRunner

    host = find_host(name)
    kind = find_device(host.device)
    with closing(BoardRunner(host, kind, say=say, offline=offline, runtime=runtime)) as runner:
        runner.prepare()
        setup, facts = runner.setup, runner.facts
    if as_json:
        print_json({"host": name, "device": kind.name, "runtime": setup.runtime, "python": facts.python})
    else:
        board = ", ".join(part for part in (facts.board or facts.machine, facts.system or facts.kernel) if part)
        click.echo(f"{name} is ready: {setup.runtime} on {board}")
    return 0

"""`armopt deploy --rollback`: the boards go back to the version of the model that they ran before."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from armopt.cli.output import print_json, say
from armopt.core.errors import UsageError


def roll_back(arguments: dict[str, Any], as_json: bool) -> int:
    """Let `current` of the model be the version before, on every board that the arguments name; nothing is built.

    Raises:
        UsageError: no board is named.
        DeviceError: a board can't be reached, or has no earlier version.
    """
    from armopt.compress.names import model_name
    from armopt.placing import find_boards
    from armopt.runners.ssh.installing import rollback
    from armopt.runners.ssh.runner import BoardRunner

    place = find_boards(arguments["device"], arguments["host"], arguments["emulate"])
    if not place.hosts:
        raise UsageError("--rollback needs boards", "name them with --host; armopt hosts list shows them")
    model = model_name(Path(arguments["model"]) if arguments["model"] else None)
    done = []
    for host in place.hosts:
        with closing(BoardRunner(host, place.kind, say=say, offline=True, here=place.here)) as runner:
            runner.board.lock()
            done.append(rollback(runner.board, model))
        if not as_json:
            click.echo(f"{host.name}: {model} is version {done[-1].version} again: {done[-1].folder}/run")
    if as_json:
        print_json([asdict(one) for one in done])
    return 0

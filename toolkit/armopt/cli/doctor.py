"""`armopt doctor`: what is wrong with a board or with this machine, and how to mend it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.output import json_option, print_json, print_rich, say

if TYPE_CHECKING:
    from armopt.core.device import BoardKind, RuntimeName
    from armopt.core.host import Host
    from armopt.runners.ssh.board_folder import BoardFolder
    from armopt.runners.ssh.facts import Facts
    from armopt.runners.ssh.finding import Finding

EXIT_FINDINGS = 1


@click.command()
@click.option("--host", "name", metavar="NAME", help="A registered board. Without it: this machine.")
@click.option("--runtime", type=click.Choice(["litert", "tflite-runtime"]), help="Default: the first that runs there.")
@json_option
def command(name: str | None, runtime: RuntimeName | None, as_json: bool) -> int:
    """Say what is wrong with a board, or with this machine, and how to mend each thing. Nothing is changed.

    Exit 0 where nothing was found, 1 with findings, 4 where the board can't be reached.
    """
    from armopt.show.doctor import board_line, findings_table, machine_line

    shown: dict[str, Any] | None
    if name is None:
        from armopt.cli.this_machine import examine_this_machine

        shown, found = examine_this_machine()
        who, device, code, line = "this machine", None, 0, machine_line(shown)
    else:
        from armopt.catalog.devices import find_device
        from armopt.catalog.hosts import find_host

        host = find_host(name)
        kind = find_device(host.device)
        facts, found, code = _examine_board(host, kind, runtime)
        shown = facts.model_dump(mode="json") if facts else None
        who, device, line = name, kind.name, board_line(shown) if shown else ""
    told = [finding.model_dump(mode="json") for finding in found]
    if as_json:
        print_json({"host": name, "device": device, "findings": told, "facts": shown})
    else:
        if line:
            click.echo(f"{who}: {line}")
        if told:
            print_rich(findings_table(told))
        else:
            click.echo(f"{who}: nothing found that needs mending")
    return code or (EXIT_FINDINGS if found else 0)


def _examine_board(host: Host, kind: BoardKind, runtime: RuntimeName | None) -> tuple[Facts | None, list[Finding], int]:
    """The board's facts if it tells any, what is wrong, and the exit code where it can't be reached (else 0)."""
    from armopt.core.errors import DeviceError
    from armopt.runners.ssh.board_folder import BoardFolder
    from armopt.runners.ssh.connection import Connection
    from armopt.runners.ssh.errors import HostKeyRefused, LoginRefused, LostConnection
    from armopt.runners.ssh.finding import problem

    board = BoardFolder(host, lambda: Connection(host, say=say), say)
    try:
        facts, found = _look(board, kind, runtime)
        return facts, found, 0
    except (HostKeyRefused, LoginRefused, LostConnection) as error:
        return None, [problem(error.what, error.mend)], error.exit_code
    except DeviceError as error:
        return None, [problem(error.what, error.mend)], 0
    finally:
        board.close()


def _look(board: BoardFolder, kind: BoardKind, runtime: RuntimeName | None) -> tuple[Facts, list[Finding]]:
    from armopt.core.errors import DeviceError
    from armopt.runners.ssh.doctor import examine
    from armopt.runners.ssh.facts import look
    from armopt.runners.ssh.wheels import Plan, choose_runtime

    facts = look(board)
    plan: Plan | DeviceError
    try:
        plan = choose_runtime(facts, runtime, board.host.name)
    except DeviceError as error:
        plan = error
    else:
        # Which folder to look into is known only now.
        facts = look(board, site=f"{board.host.folder}/runtimes/{plan.name}")
    return facts, list(examine(facts, kind, board.host, clock_s=time.time(), plan=plan))

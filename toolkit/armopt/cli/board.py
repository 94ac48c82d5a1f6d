"""`armopt emulator board`: a whole aarch64 Linux behind SSH, as a stand-in for a board in tests and in CI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.output import json_option, print_json, print_rich, say

if TYPE_CHECKING:
    from armopt.runners.virtual.board import VirtualBoard


@click.group("board")
def board() -> None:
    """Start or stop the virtual board, a whole aarch64 Linux that is reached by SSH as host `virtual`.

    It is there to try armopt on, in CI too. What it takes says nothing of any board, and is held against no limit.
    """


@board.command()
@click.option("--memory", metavar="SIZE", default="768M", show_default=True, help="Memory of the board.")
@click.option("--home-size", metavar="SIZE", default="192M", show_default=True, help="Room in its home, of memory.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="On 127.0.0.1. Left out: a free one.")
@click.option("--online", is_flag=True, help="Let the board reach the network; else SSH alone leads in or out.")
@click.option("--offline", is_flag=True, help="Never fetch anything: fails where its image is not built yet.")
@json_option
def start(memory: str, home_size: str, port: int | None, online: bool, offline: bool, as_json: bool) -> int:
    """Boot the board in the background, and register it as host `virtual`; its image is built on first use."""
    from armopt.runners.virtual.board import VirtualBoard
    from armopt.runners.virtual.qemu_options import Settings

    memory_mib, home_mib = _mebibytes("--memory", memory), _mebibytes("--home-size", home_size)
    asked = Settings(memory_mib=memory_mib, home_mib=home_mib, port=port, online=online)
    virtual = VirtualBoard()
    running, fresh = virtual.start(asked, say=say, offline=offline)
    if not fresh:
        say(f"the virtual board runs already, for {running.uptime_s:.0f} s, with the settings of its start")
    _tell(virtual, as_json)
    return 0


@board.command()
@json_option
def stop(as_json: bool) -> int:
    """End the board. Host `virtual` stays registered; what was on the board is gone."""
    from armopt.runners.virtual.board import VirtualBoard

    stopped = VirtualBoard().stop()
    say("the virtual board is stopped; host virtual stays registered" if stopped else "the virtual board does not run")
    if as_json:
        print_json({"running": False, "stopped": stopped})
    return 0


@board.command()
@json_option
def status(as_json: bool) -> int:
    """Show the board's process and how to log in. Exit 0 where it runs, 4 where it does not."""
    from armopt.core.errors import DeviceError
    from armopt.runners.virtual.board import VirtualBoard

    virtual = VirtualBoard()
    return 0 if _tell(virtual, as_json) else DeviceError.exit_code


def _mebibytes(option: str, text: str) -> int:
    """`512M`, `1G` -> MiB, as QEMU and mount read them."""
    from armopt.core.errors import UsageError

    match = re.fullmatch(r"([1-9][0-9]{0,6})([MG])", text.upper())
    if match is None:
        raise UsageError(f"{option}: '{text}' is not a size", "write it like 768M or 2G")
    return int(match[1]) * (1024 if match[2] == "G" else 1)


def _tell(virtual: VirtualBoard, as_json: bool) -> bool:
    """Print what there is to know; whether it runs."""
    running = virtual.running()
    state = running.state if running else None
    document: dict[str, Any] = {
        "running": running is not None,
        "host": virtual.host(state.port).model_dump(mode="json") if state else None,
        "pid": running.pid if running else None,
        "port": state.port if state else None,
        "uptime_s": round(running.uptime_s, 1) if running else None,
        "memory_mib": state.settings.memory_mib if state else None,
        "home_mib": state.settings.home_mib if state else None,
        "online": state.settings.online if state else None,
        "resident_mib": running.resident_mib if running else None,
        "image": state.image if state else None,
        "console": str(virtual.console),
    }
    if as_json:
        print_json(document)
    else:
        from armopt.show.emulator import board_table

        print_rich(board_table(document))
    return running is not None

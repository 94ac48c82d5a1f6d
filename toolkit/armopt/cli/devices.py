"""`armopt devices`: the kinds of boards and NPUs that armopt knows, and what your own board makes of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.output import chatter_to_stderr, json_option, print_json, print_rich, say

if TYPE_CHECKING:
    from armopt.calibrating import Calibrated
    from armopt.core.device import BoardKind
    from armopt.core.host import Host
    from armopt.core.timings import BoardTimings


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> int:
    """List kinds of boards, with what stands for them when emulated, and of NPUs: names for --device; and yours."""
    if context.invoked_subcommand is not None:
        return 0
    from armopt.catalog.devices import find_kind, list_devices
    from armopt.catalog.hosts import list_hosts
    from armopt.core.npu import NpuKind
    from armopt.runners.ssh.state import board_states

    kinds, hosts = [find_kind(name) for name in list_devices()], list(list_hosts().values())
    states = board_states(hosts)
    if as_json:
        print_json([{**kind.model_dump(mode="json"), "boards": _boards(kind.name, hosts, states)} for kind in kinds])
    else:
        from armopt.show.devices import devices_table, npus_table
        from armopt.show.hosts import states_table

        boards = [kind for kind in kinds if not isinstance(kind, NpuKind) and not kind.functional]
        print_rich(devices_table(boards), "", npus_table([kind for kind in kinds if isinstance(kind, NpuKind)]))
        if hosts:
            print_rich("", states_table(hosts, states))
    return 0


def _boards(kind: str, hosts: Sequence[Host], states: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": host.name, "state": states[host.name]} for host in hosts if host.device == kind]


@command.command("calibrate")
@click.option("--device", "device_name", metavar="KIND", required=True, help="Board kind; see armopt devices.")
@click.option("--export", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write the shapes to time.")
@click.option("--timings", type=click.Path(path_type=Path), metavar="FILE", help="The timings.json that came back.")
@click.option("--host", "host_name", metavar="NAME", help="Time and fit on that board in one go; see armopt hosts.")
@click.option("--local", is_flag=True, help="This machine is the board: time and fit in one go.")
@click.option("--forget", is_flag=True, help="Remove your calibration of this kind.")
@click.option("--anyway", is_flag=True, help="Take timings that are far from what the model says.")
@click.option("--offline", is_flag=True, help="Never fetch anything.")
@json_option
def calibrate_command(
    device_name: str,
    folder: Path | None,
    timings: Path | None,
    host_name: str | None,
    local: bool,
    forget: bool,
    anyway: bool,
    offline: bool,
    as_json: bool,
) -> int:
    """Fit the latency model to a board of yours: give one of --host, --export, --timings, --local, --forget.

    --export writes a few small models and a script; run it on the board, bring timings.json back, and give it with
    --timings. The coefficients are kept in your configuration folder and used for that kind from then on.
    """
    from armopt.catalog.devices import find_device
    from armopt.core.errors import UsageError

    if sum((folder is not None, timings is not None, host_name is not None, local, forget)) != 1:
        raise UsageError(
            "nothing to do, or several things", "give one of --host, --export, --timings, --local, --forget"
        )
    if forget:
        from armopt.catalog.calibrations import forget_user_calibrations

        there_was = forget_user_calibrations(device_name)
        say(f"{device_name}: {'your calibration is removed' if there_was else 'there was no calibration of yours'}")
        if as_json:
            print_json({"device": device_name, "removed": there_was})
        return 0
    kind = find_device(device_name)
    with chatter_to_stderr():
        from armopt.calibrating import calibrate
        from armopt.calibration_timing import export_shapes, read_timings, time_here

        if folder is not None:
            export_shapes(kind, folder, say=say)
            say(f"wrote {folder}: copy it to the board; its README says how to go on")
            if as_json:
                print_json({"device": device_name, "folder": str(folder)})
            return 0
        if host_name is not None:
            read = _timed_on(kind, host_name, offline)
        else:
            read = time_here(kind, say=say) if timings is None else read_timings(timings)
        found = calibrate(kind, read, anyway=anyway, say=say, offline=offline)
    if as_json:
        print_json(_document(found))
    else:
        _show(found)
    return 0


def _timed_on(kind: BoardKind, host_name: str, offline: bool) -> BoardTimings:
    from contextlib import closing

    from armopt.calibration_timing import time_on_board
    from armopt.core.errors import UsageError
    from armopt.placing import find_boards
    from armopt.runners.ssh.runner import BoardRunner

    place = find_boards(kind.name, host_name, False)
    if kind.functional or len(place.hosts) != 1:
        raise UsageError(f"--host {host_name} is not one real board", "name one that armopt hosts list shows")
    runtime = kind.runtime.name
    with closing(BoardRunner(place.hosts[0], kind, say=say, offline=offline, runtime=runtime)) as runner:
        return time_on_board(kind, runner, say=say)


def _shapes(found: Calibrated) -> list[tuple[str, float, float, float, float]]:
    return [
        (one.name, one.measured_ms, before, after, left_out)
        for _, timed, fit in found.parts
        for one, before, after, left_out in zip(timed, fit.before_ms, fit.after_ms, fit.left_out_ms, strict=True)
    ]


def _document(found: Calibrated) -> dict[str, Any]:
    names = ("probe", "measured_ms", "before_ms", "after_ms", "left_out_ms")
    return {
        "device": found.device,
        "runtime": found.runtime,
        "notes": list(found.notes),
        "calibrations": [one.model_dump(mode="json") for one in found.calibrations],
        "timings": [dict(zip(names, row, strict=True)) for row in _shapes(found)],
        "file": str(found.path),
    }


def _show(found: Calibrated) -> None:
    from armopt.show.calibration import shapes_table, terms_table

    for (base, _, fit), after in zip(found.parts, found.calibrations, strict=True):
        print_rich(terms_table(base, after, fit.told))
        click.echo(f"interval: {1 / fit.factor:.2f} to {fit.factor:.2f} times the prediction; {fit.reason}\n")
    print_rich(shapes_table(_shapes(found)))
    click.echo(f"used for {found.device} from now on: {found.path}")
    for note in found.notes:
        say(f"note: {note}")

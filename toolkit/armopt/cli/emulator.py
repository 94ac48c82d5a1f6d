"""`armopt emulator`: set up what emulated boards need, or say what is there."""

from __future__ import annotations

from typing import Any

import click

from armopt.cli.board import board
from armopt.cli.output import json_option, print_json, print_rich, say


@click.group()
def command() -> None:
    """Set up the emulated boards, or show what is there. `deploy` and `measure` set up on first use by themselves."""


command.add_command(board)


@command.command()
@click.option("--device", "device_name", metavar="KIND", default="pi4", show_default=True, help="Board kind.")
@click.option("--offline", is_flag=True, help="Never fetch anything: fails where something would have to be fetched.")
def setup(device_name: str, offline: bool) -> int:
    """Fetch and build everything an emulated board needs, into the cache folder."""
    from armopt.catalog.devices import find_device
    from armopt.runners.qemu.plugin import ensure_plugin
    from armopt.runners.qemu.sysroot import ensure_board_root

    kind = find_device(device_name)
    plugin = ensure_plugin(say=say)
    root = ensure_board_root(kind, say=say, offline=offline)
    say(f"ready: {root} and {plugin}")
    return 0


@command.command()
@json_option
def status(as_json: bool) -> int:
    """Show programs, versions and folders. Exit 0 where emulation can start, 4 where a program is missing."""
    import shutil

    from armopt.catalog.search_path import cache_dir
    from armopt.core.errors import DeviceError
    from armopt.runners.qemu.plugin import qemu_version
    from armopt.runners.qemu.tools import PACKAGES

    missing = {name: package for name, package in PACKAGES.items() if shutil.which(name) is None}
    try:
        version = None if "qemu-aarch64" in missing else ".".join(map(str, qemu_version()))
    except DeviceError as error:
        version = None
        say(str(error))
    folder = cache_dir() / "sysroot"
    document: dict[str, Any] = {
        "qemu": version,
        "programs": {name: shutil.which(name) for name in PACKAGES},
        "missing_packages": sorted(missing.values()),
        "sysroots": sorted(str(path) for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else [],
        "plugins": sorted(str(path) for path in (cache_dir() / "plugin").glob("*.so")),
    }
    if as_json:
        print_json(document)
    else:
        from armopt.show.emulator import emulator_table

        print_rich(emulator_table(document))
    return DeviceError.exit_code if missing or version is None else 0

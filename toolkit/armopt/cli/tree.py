"""`armopt tree`: a profile's tree, how hard each stage works, and what it can help on a device."""

from __future__ import annotations

import click

from armopt.cli.output import json_option, print_json, print_rich


@click.command()
@click.option("--profile", "profile_name", metavar="NAME|PATH", default="default", help="Which tree; default: default.")
@click.option("--device", "device_name", metavar="KIND", default="pi4", show_default=True, help="Where it is to help.")
@json_option
def command(profile_name: str, device_name: str, as_json: bool) -> int:
    """Show the nodes of a profile's tree, their strengths, and which of them can help what on a device."""
    from armopt.catalog.devices import find_device
    from armopt.catalog.profiles import find_profile
    from armopt.core.tree import ROOT, parent_of, stage_of
    from armopt.latency.helps import helps, why_not

    profile, kind = find_profile(profile_name), find_device(device_name)
    nodes = [
        {
            "path": path,
            "parent": parent_of(path),
            "settings": profile.settings_of(path).model_dump(mode="json"),
            "helps": sorted(helps(kind, stage_of(path))),
            "reason": why_not(kind, stage_of(path)),
        }
        for path in profile.tree
    ]
    if as_json:
        print_json({"profile": profile.name, "device": kind.name, "root": ROOT, "nodes": nodes})
    else:
        from armopt.show.tree import tree_lines, tree_table

        print_rich(tree_table(profile, kind.name, nodes), *tree_lines(nodes))
    return 0

"""`armopt tree`: a profile's tree, how hard each stage works, what it can help; or what a run made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.output import check_picture_name, json_option, print_json, print_rich, save_drawn

if TYPE_CHECKING:
    from armopt.show.tree_nodes import ShownTree


@click.command()
@click.option("--profile", "profile_name", metavar="NAME|PATH", default="default", help="Which tree; default: default.")
@click.option(
    "--device",
    "device_name",
    metavar="KIND",
    default="pi4",
    show_default=True,
    help="Where it is to help: a board kind, or cortex-a or ethos-u.",
)
@click.option(
    "--show",
    "run",
    is_flag=False,
    flag_value="",
    metavar="[OUT]",
    help="Draw the tree: of the run in folder OUT (or a result.json) with all it reached, else of the profile.",
)
@click.option("--plot", metavar="FILE", help="Draw it into an .svg or .png file.")
@json_option
def command(profile_name: str, device_name: str, run: str | None, plot: str | None, as_json: bool) -> int:
    """Show a tree: a profile's nodes, their strengths and what they can help on a device, or a run's with results."""
    check_picture_name(plot)
    if run:
        document, shown = _of_run(Path(run))
    else:
        document, shown = _of_profile(profile_name, device_name)
    if plot is not None:
        _draw(shown, Path(plot))
    if as_json:
        print_json(document)
    elif run is not None:
        from armopt.show.tree import drawn_tree

        print_rich(*drawn_tree(shown))
    elif plot is None:
        from armopt.catalog.profiles import find_profile
        from armopt.show.tree import tree_lines, tree_table

        print_rich(
            tree_table(find_profile(profile_name), document["device"], document["nodes"]),
            *tree_lines(document["nodes"]),
        )
    return 0


def _of_profile(profile_name: str, device_name: str) -> tuple[dict[str, Any], ShownTree]:
    from armopt.catalog.devices import find_kind
    from armopt.catalog.profiles import find_profile
    from armopt.core.tree import ROOT, parent_of, preserved_at, stage_of
    from armopt.latency.helps import FAMILIES, helps, why_not
    from armopt.show.tree_nodes import tree_of_profile

    profile = find_profile(profile_name)
    place = device_name if device_name in FAMILIES else find_kind(device_name)
    nodes = [
        {
            "path": path,
            "parent": parent_of(path),
            "under_speed_limit": path in profile.joining,
            "settings": profile.settings_of(path).model_dump(mode="json"),
            "preserves": list(preserved_at(path)),
            "helps": sorted(helps(place, stage_of(path))),
            "reason": why_not(place, stage_of(path)),
        }
        for path in (*profile.tree, *profile.joining)
    ]
    document = {"profile": profile.name, "device": device_name, "root": ROOT, "nodes": nodes}
    return document, tree_of_profile(profile, device_name, nodes)


def _of_run(path: Path) -> tuple[dict[str, Any], ShownTree]:
    from armopt.core.tree import ROOT, parent_of, preserved_at
    from armopt.delivery import read_result
    from armopt.show.tree_nodes import tree_of_result

    result = read_result(path)
    document = result.model_dump(mode="json", by_alias=True, include={"device", "model", "verdict", "reason", "chosen"})
    document["root"] = ROOT
    document["nodes"] = [
        {
            **node.model_dump(mode="json", by_alias=True),
            "parent": None if node.path == ROOT else parent_of(node.path),
            "preserves": list(preserved_at(node.path)),
        }
        for node in result.nodes
    ]
    return document, tree_of_result(result)


def _draw(shown: ShownTree, path: Path) -> None:
    from armopt.show.tree_plot import tree_picture

    save_drawn(tree_picture(shown), path)

"""A tree in the terminal: a profile's as a table, or any drawn with guides, results and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from armopt.core.profile import Profile
from armopt.core.tree import ROOT, parent_of, stage_of
from armopt.show.figures import STYLE_OF_STATUS
from armopt.show.tables import plain_table
from armopt.show.text import clean
from armopt.show.tree_nodes import JOINS, ShownNode, ShownTree, in_family_order, strength


def tree_table(profile: Profile, device: str, nodes: Sequence[Mapping[str, Any]]) -> Table:
    """One row a node, children below their parents.

    Args:
        profile: whose tree.
        device: where the stages are to help.
        nodes: `path`, `helps` (criteria) and `reason` of each node.
    """
    table = plain_table(title=clean(f"{profile.name}: {profile.title}" if profile.title else profile.name))
    table.add_column("node", no_wrap=True)
    table.add_column("strength")
    table.add_column(f"on {clean(device)} it can help")
    table.add_row("float", "the model as given", "")
    helps = {str(node["path"]): ", ".join(node["helps"]) for node in nodes}
    for path in in_family_order((*profile.tree, *profile.joining)):
        indent = "  " * (path.count("/") + 1)
        name = f"{indent}{clean(path)}{' *' if path in profile.joining else ''}"
        table.add_row(name, strength(stage_of(path), profile.settings_of(path)), helps[path] or "-")
    if profile.joining:
        table.caption = f"* {JOINS} (latency or instructions), which says how many channels stay"
    return table


def drawn_tree(shown: ShownTree) -> list[Text | Tree]:
    """The tree with guides, every node with its work, what it preserves, its figures and its reason."""
    root = next((node for node in shown.nodes if node.path == ROOT), None)
    tree = Tree(_label(root) if root is not None else Text(ROOT), guide_style="dim")
    branches = {ROOT: tree}
    for node in shown.nodes:
        if node.path != ROOT:
            above = branches.get(parent_of(node.path), tree)
            branches[node.path] = above.add(_label(node))
    head = Text(shown.title, "bold")
    if shown.verdict is not None:
        head.append(f": {shown.verdict}", STYLE_OF_STATUS.get(shown.verdict, ""))
    return [head, *(Text(remark, "dim") for remark in shown.remarks), tree]


def _label(node: ShownNode) -> Text:
    style = STYLE_OF_STATUS.get(node.status, "")
    label = Text(clean(stage_of(node.path)), "bold")
    if node.status:
        label.append(f"  {node.status}{', chosen' if node.chosen else ''}", style)
    quiet = "dim" if node.status in ("skipped", "waiting") else "default"
    # The work already tells whether it trains; of the edge only what is kept is news.
    kept = [words for words in node.edge if words.startswith("keeps")]
    label.append("  " + "; ".join(part for part in (node.work, *kept) if part), quiet)
    if node.facts:
        label.append("\n" + ", ".join(node.facts), quiet)
    if node.reason:
        label.append(f"\n{node.reason}", "dim")
    return label


def tree_lines(nodes: Sequence[Mapping[str, Any]]) -> list[Text]:
    """Why a stage helps what it helps: once per reason, since many nodes share a stage."""
    stages: dict[str, list[str]] = {}
    for node in nodes:
        known = stages.setdefault(clean(node["reason"]), [])
        stage = clean(stage_of(str(node["path"])))
        if stage not in known:
            known.append(stage)
    return [Text(f"{', '.join(names)}: {reason}") for reason, names in stages.items()]

"""A profile's tree as a table: strengths, and what each stage can help on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from armopt.core.profile import Profile, StageSettings
from armopt.core.tree import stage_of
from armopt.show.tables import plain_table
from armopt.show.text import clean


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
    for node in sorted(nodes, key=lambda node: _family_order(str(node["path"]), profile.tree)):
        path = str(node["path"])
        indent = "  " * (path.count("/") + 1)
        strength = _strength(stage_of(path), profile.settings_of(path))
        table.add_row(indent + clean(path), strength, ", ".join(node["helps"]) or "-")
    return table


def tree_lines(nodes: Sequence[Mapping[str, Any]]) -> list[Text]:
    """Why a stage helps what it helps: once per reason, since many nodes share a stage."""
    stages: dict[str, list[str]] = {}
    for node in nodes:
        known = stages.setdefault(clean(node["reason"]), [])
        stage = clean(stage_of(str(node["path"])))
        if stage not in known:
            known.append(stage)
    return [Text(f"{', '.join(names)}: {reason}") for reason, names in stages.items()]


def _family_order(path: str, tree: Sequence[str]) -> tuple[int, ...]:
    """Sorts a node behind its parent and before its parent's next sibling."""
    parts = path.split("/")
    return tuple(tree.index("/".join(parts[:depth])) for depth in range(1, len(parts) + 1))


def _strength(stage: str, settings: StageSettings) -> str:
    if stage == "ptq":  # nothing is trained
        return "calibration"
    parts = []
    if stage == "prune":
        parts.append(settings.pruning.words(settings.sparsity))
    if stage == "cluster":
        parts.append(f"{settings.clusters} values")
    least = f" (at least {settings.min_steps} steps)" if settings.min_steps else ""
    parts.append(f"{settings.epochs} epochs{least} at {settings.learning_rate:g}")
    return ", ".join(parts)

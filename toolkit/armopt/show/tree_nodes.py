"""What a shown tree tells of each node: from a profile alone, or with what a run reached. For terminal and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from armopt.core.profile import Profile, StageSettings
from armopt.core.records import Node, Result
from armopt.core.stages import FACTS, TRAINING_STAGES
from armopt.core.tree import ROOT, parent_of, preserved_at, stage_of
from armopt.show import figures
from armopt.show.text import clean

# Numbers of a file whose activations need ranges, which calibration finds.
_CALIBRATED = ("int8", "16x8")
# What a clustered kernel holds few of, by how it is clustered.
_HELD_BY = {"shared": "codes", "tensor": "values", "channel": "values a channel"}


# Of the nodes of a profile's speed_tree.
JOINS = "joins where the target limits speed"


@dataclass(frozen=True)
class ShownNode:
    """One node, in words that are safe to show.

    Attributes:
        path: of the node; the root's is `float`.
        work: what its stage does and how hard.
        edge: how it is made of its parent: fine-tuned or not, and what is preserved.
        status: of a run; empty for a profile alone.
        chosen: True for the node that the run delivered.
        facts: figures, each a few words.
        reason: why it has its status, or when it joins the tree.
    """

    path: str
    work: str
    edge: tuple[str, ...]
    status: str = ""
    chosen: bool = False
    facts: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class ShownTree:
    """A tree to show: a headline, and its nodes, each behind its parent and before its parent's next sibling."""

    title: str
    nodes: tuple[ShownNode, ...]
    verdict: str | None = None
    remarks: tuple[str, ...] = field(default=())

    def children_of(self, path: str) -> list[ShownNode]:
        """Nodes made of the node at `path`."""
        return [node for node in self.nodes if node.path != ROOT and parent_of(node.path) == path]


def tree_of_profile(profile: Profile, device: str, told: Sequence[Mapping[str, Any]]) -> ShownTree:
    """The tree as a profile plans it.

    Args:
        profile: whose tree.
        device: where the stages are to help.
        told: `path` and `helps` (criteria) of each node.
    """
    helps = {str(node["path"]): ", ".join(node["helps"]) for node in told}
    nodes = [ShownNode(ROOT, "the model as given", ())]
    for path in in_family_order((*profile.tree, *profile.joining)):
        helped = f"can help {helps[path]} on {clean(device)}" if helps.get(path) else ""
        facts = (helped or f"by itself adds nothing to INT8 on {clean(device)}",)
        joins = JOINS if path in profile.joining and parent_of(path) == ROOT else ""
        work = strength(stage_of(path), profile.settings_of(path))
        nodes.append(ShownNode(path, work, edge_of(path), facts=facts, reason=joins))
    title = f"{profile.name}: {profile.title}" if profile.title else profile.name
    return ShownTree(clean(title), tuple(nodes))


def tree_of_result(result: Result) -> ShownTree:
    """The tree as a run left it."""
    by_path = {node.path: node for node in result.nodes}
    inner = [path for path in by_path if path != ROOT]
    shown = [_of_run(by_path[ROOT], result)] if ROOT in by_path else []
    shown += [_of_run(by_path[path], result) for path in in_family_order(inner)]
    title = f"{clean(result.model, 60)} on {clean(result.device, 40)}, latency {result.evidence}"
    return ShownTree(title, tuple(shown), result.verdict or "built", (clean(result.reason),) if result.reason else ())


def in_family_order(paths: Sequence[str]) -> list[str]:
    """Each node behind its parent and before its parent's next sibling; siblings as they came."""
    place = {path: number for number, path in enumerate(paths)}

    def ancestry(path: str) -> tuple[int, ...]:
        parts = path.split("/")
        return tuple(place.get("/".join(parts[:depth]), len(paths)) for depth in range(1, len(parts) + 1))

    return sorted(paths, key=ancestry)


def strength(stage: str, settings: StageSettings) -> str:
    """How hard a stage works, in words."""
    if stage in FACTS and not FACTS[stage].trains:
        return "calibration" if FACTS[stage].numbers in _CALIBRATED else "no calibration"
    parts = []
    if stage == "channels":
        parts.append(f"{settings.width:.0%} of the channels")
    if stage == "prune":
        parts.append(f"{settings.sparsity:.0%} zeros")
    if stage == "cluster":
        parts.append(f"{settings.clusters} {_HELD_BY[settings.clustering]}")
    least = f" (at least {settings.min_steps} steps)" if settings.min_steps else ""
    parts.append(f"{settings.epochs} epochs{least} at {settings.learning_rate:g}")
    return ", ".join(parts)


def edge_of(path: str) -> tuple[str, ...]:
    """How the node is made of its parent, in words: ('fine-tuning', 'keeps zeros and codes')."""
    kept = " and ".join(preserved_at(path))
    trained = "fine-tuning" if stage_of(path) in TRAINING_STAGES else "no training"
    return (trained, f"keeps {kept}") if kept else (trained,)


def _of_run(node: Node, result: Result) -> ShownNode:
    reason = clean(node.reason, 300)
    work = "the model as given" if node.path == ROOT else clean(node.work, 200)
    edge = () if node.path == ROOT else tuple(clean(words) for words in edge_of(node.path))
    return ShownNode(
        node.path, work, edge, node.status, node.path == result.chosen, tuple(_facts(node, result)), reason
    )


def _facts(node: Node, result: Result) -> list[str]:
    facts = []
    name = clean(result.metric.name, 24)
    if node.accuracy.int8 is not None:
        source = result.source_accuracy
        against = "" if source is None else f" ({figures.change(node.accuracy.int8, source)})"
        facts.append(f"{name} {figures.metric_value(node.accuracy.int8)}{against}")
    elif node.accuracy.keras is not None:
        facts.append(f"{name} {figures.metric_value(node.accuracy.keras)} (float)")
    if node.gz_bytes is not None:
        facts.append(f"{figures.size(node.gz_bytes)} gzip")
    if node.sparsity is not None:
        facts.append(f"{figures.share(node.sparsity)} zeros")
    if node.max_codes is not None:
        facts.append(f"{node.max_codes} codes")
    if node.latency_ms is not None:
        bounds = f" ({figures.interval(node.interval_ms)})" if node.interval_ms else ""
        facts.append(f"{figures.milliseconds(node.latency_ms.p50)}{bounds}")
    return facts

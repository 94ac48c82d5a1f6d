"""Strengths -> one path of the tree with its settings. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from types import MappingProxyType

from armopt.core.profile import FEWEST_SHARED, Profile
from armopt.core.search_record import Sensitivity, Strength
from armopt.search.strengths.space import LEAST_SPARSITY, NO_SPARSITY

# With full tilt the most sensitive group keeps this much more of its channels than the mean, the least as much less.
_WIDTH_SPREAD = 0.5
_SPARSITY_SPREAD = 0.5
_ROUNDING = 1e-9
_NONE: Mapping[str, Strength] = MappingProxyType({})
_QAT_OF = {(): "qat", ("prune",): "pqat", ("cluster",): "cqat", ("prune", "cluster"): "pcqat"}

Known = Callable[[], Sequence[Sensitivity]]
"""How sensitive layers and groups are. Measuring it takes a while: it is asked only where the strengths need it."""


@dataclass(frozen=True)
class Recipe:
    """What one trial builds.

    Attributes:
        path: of its leaf.
        profile: with that path as its tree and the trial's settings at its nodes.
        epochs: times the profile's own.
    """

    path: str
    profile: Profile
    epochs: float


def recipe_of(
    chosen: Mapping[str, Strength], plan: Profile, known: Known, named: Mapping[str, Strength] = _NONE
) -> Recipe:
    """The path and settings that the strengths stand for.

    Args:
        chosen: a point of the space; a technique that is absent is left out.
        plan: profile whose settings hold where the search says nothing.
        known: how sensitive layers and groups are; where it knows of none all are treated alike.
        named: strengths that hold for all trials.
    """
    strengths = {**chosen, **named}
    inner: list[str] = []
    nodes: dict[str, dict[str, object]] = {}
    if strengths.get("width", 1.0) < 1.0:
        inner.append("channels")
        nodes["channels"] = _channels(strengths, known)
    is_pruned = "sparsity" in named or _asks_for_zeros(strengths)
    is_clustered = bool(strengths.get("clusters", 0))
    spared = _most_sensitive(known, int(strengths.get("spared", 0))) if is_pruned or is_clustered else ()
    if is_pruned:
        inner.append("prune")
        nodes["/".join(inner)] = {**_sparsities(strengths, known), "spare": spared}
    if is_clustered:
        inner.append("cluster")
        nodes["/".join(inner)] = {**_clusters(strengths, known), "spare": spared}
    kinds = tuple(stage for stage in inner if stage != "channels")
    leaf = _QAT_OF[kinds] if strengths.get("qat", True) else "ptq"
    path = "/".join([*inner, leaf])
    settings = {"distill": strengths["distill"]} if "distill" in strengths else {}
    tree = tuple("/".join([*inner, leaf][: depth + 1]) for depth in range(len(inner) + 1))
    at = {node: {**plan.nodes.get(node, {}), **settings, **nodes.get(node, {})} for node in tree}
    profile = plan.model_copy(update={"tree": tree, "speed_tree": (), "nodes": at})
    return Recipe(path, profile, float(strengths.get("epochs", 1.0)))


def with_qat(
    chosen: Mapping[str, Strength], plan: Profile, known: Known, named: Mapping[str, Strength] = _NONE
) -> Recipe:
    """What `recipe_of` makes of the strengths, with quantization-aware training beside a leaf quantized after training.

    Walked down, the second leaf is trained only where the first one loses too much accuracy.
    """
    first, trained = (recipe_of(one, plan, known, named) for one in (chosen, {**chosen, "qat": True}))
    if first.path == trained.path:
        return first
    both = {
        "tree": (*first.profile.tree, trained.path),
        "nodes": {**trained.profile.nodes, **first.profile.nodes},
    }
    return replace(first, profile=first.profile.model_copy(update=both))


def on_the_way(chosen: Mapping[str, Strength], named: Mapping[str, Strength] = _NONE) -> list[dict[str, Strength]]:
    """Strengths of what lies on a trial's own way: each model before its leaf, quantized after training.

    They are trained already when the trial is, so that each costs an export. What the user named stays on.
    """
    found, rest = [], {**chosen, "qat": False}
    if chosen.get("qat", False):
        found.append(rest)
    for name, off, is_on in (
        ("clusters", 0, bool(chosen.get("clusters", 0))),
        ("sparsity", NO_SPARSITY, _asks_for_zeros(chosen)),
    ):
        if name in named:
            break
        if is_on:
            rest = {**rest, name: off}
            found.append(rest)
    return found


def _asks_for_zeros(strengths: Mapping[str, Strength]) -> bool:
    return strengths.get("sparsity", 0.0) >= LEAST_SPARSITY - _ROUNDING


def scheduled(recipe: Recipe, share: float) -> Profile:
    """The recipe's profile with `share` of its training: 0 for none at all."""
    profile, nodes = recipe.profile, {}
    for path in profile.tree:
        settings = profile.settings_of(path)
        times = share * recipe.epochs
        epochs = max(1, round(settings.epochs * times)) if times and settings.epochs else 0
        nodes[path] = {
            **profile.nodes.get(path, {}),
            "epochs": epochs,
            "min_steps": round(settings.min_steps * times),
            **({} if times else {"distill": 0.0}),
        }
    return profile.model_copy(update={"nodes": nodes})


def _channels(strengths: Mapping[str, Strength], known: Known) -> dict[str, object]:
    width, tilt = float(strengths["width"]), float(strengths.get("width_tilt", 0.0))
    ranks = _ranks(known(), "channels") if tilt else {}
    widths = {name: min(1.0, width * (1 + _WIDTH_SPREAD * tilt * rank)) for name, rank in ranks.items()}
    return {"width": width, "widths": widths}


def _sparsities(strengths: Mapping[str, Strength], known: Known) -> dict[str, object]:
    sparsity, tilt = float(strengths["sparsity"]), float(strengths.get("sparsity_tilt", 0.0))
    ranks = _ranks(known(), "prune") if tilt else {}
    # Towards 1 steps count for what they leave: 90% is as far from 95% as 80% from 90%.
    by_layer = {
        escape(name): 1 - (1 - sparsity) ** (1 - _SPARSITY_SPREAD * tilt * rank) for name, rank in ranks.items()
    }
    return {"sparsity": sparsity, "layer_sparsity": by_layer}


def _clusters(strengths: Mapping[str, Strength], known: Known) -> dict[str, object]:
    clusters, tilt = int(strengths["clusters"]), float(strengths.get("clusters_tilt", 0.0))
    ranks = _ranks(known(), "cluster") if tilt else {}
    by_layer = {
        escape(name): max(FEWEST_SHARED, min(256, round(clusters * 2 ** (tilt * rank)))) for name, rank in ranks.items()
    }
    return {"clusters": clusters, "layer_clusters": by_layer}


def _ranks(known: Sequence[Sensitivity], kind: str) -> dict[str, float]:
    """-1 for the least sensitive to 1 for the most, by name; ranks, since single drops are noisy. None of one."""
    found = sorted((item for item in known if item.kind == kind), key=_drop)
    last = len(found) - 1
    return {item.name: 2 * place / last - 1 for place, item in enumerate(found)} if last > 0 else {}


def _most_sensitive(known: Known, count: int) -> tuple[str, ...]:
    found = sorted((item for item in (known() if count else ()) if item.kind == "prune"), key=lambda item: -_drop(item))
    return tuple(escape(item.name) for item in found[:count])


def _drop(item: Sensitivity) -> float:
    """What is left without a metric is the most sensitive."""
    return math.inf if item.drop is None else item.drop

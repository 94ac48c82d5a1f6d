"""From importance and settings to the channels that stay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from armopt.compress.channels.groups import ChannelGraph, Group, Kept
from armopt.compress.channels.importance import Importance
from armopt.compress.ends import first_layers, last_layers
from armopt.compress.kernels import Kernel, is_spared
from armopt.core.errors import UsageError
from armopt.core.profile import StageSettings


def channels_kept(count: int, width: float, step: int) -> int:
    """How many of `count` channels stay at a width: the multiple of `step`, or the whole, that is nearest.

    At least one step, or the whole group where it is smaller. Never falls as `width` rises.
    """
    if width >= 1 or count <= step:
        return count
    wanted = count * width
    below = math.floor(wanted / step) * step
    above = min(below + step, count)
    return max(step, above if above - wanted <= wanted - below else below)


def choose(graph: ChannelGraph, importance: Importance, settings: StageSettings) -> Kept:
    """Which channels stay, for every group that loses some.

    Scope 'layer': every group keeps the share `width`. Scope 'global': steps of least importance for each
    multiply-accumulate saved go first, until the model has no more than the same width in every group would leave it.
    What stays at a width stays at every larger one.

    Raises:
        UsageError: `widths` names a group that is not there.
    """
    groups = prunable_groups(graph, settings)
    _check_names(graph, settings)
    counts = {
        group.name: channels_kept(
            len(group), settings.widths.get(group.name, settings.width), _step(settings, len(group))
        )
        for group in groups
    }
    best = {group.name: np.argsort(-importance[group.name], kind="stable") for group in groups}
    kept = {group.name: _first(best[group.name], counts[group.name]) for group in groups}
    if settings.scope == "global":
        free = [group for group in groups if group.name not in settings.widths]
        fixed = {name: stays for name, stays in kept.items() if name in settings.widths}
        budget = graph.macs.total(graph.keep(kept))
        counts = _greedy(graph, free, importance, best, fixed, settings.width_step, budget)
        kept = {**fixed, **{name: _first(best[name], count) for name, count in counts.items()}}
    return {name: stays for name, stays in kept.items() if not stays.all()}


def prunable_groups(graph: ChannelGraph, settings: StageSettings) -> list[Group]:
    """Groups that the settings let lose channels: none of whose layers is spared, the first or the last."""
    left: set[str] = set()
    if not settings.first_layer:
        left |= {key.rsplit("/", 1)[0] for key in first_layers(graph.model)}
    if not settings.last_layer:
        left |= {key.rsplit("/", 1)[0] for key in last_layers(graph.model)}
    return [
        group
        for group in graph.groups
        if len(group) > 1 and not any(path in left or _is_spared(graph, path, settings) for path in group.producers)
    ]


def _is_spared(graph: ChannelGraph, path: str, settings: StageSettings) -> bool:
    attribute, layer = graph.consumers()[path][0], graph.layers[path]
    return is_spared(
        Kernel(f"{path}/{attribute}", layer.name, "conv", getattr(layer, attribute)), settings.spare
    ) or is_spared(Kernel(path, layer.name, "conv", getattr(layer, attribute)), settings.spare)


def _check_names(graph: ChannelGraph, settings: StageSettings) -> None:
    names = [group.name for group in graph.groups]
    unknown = [name for name in settings.widths if name not in names]
    if unknown:
        raise UsageError(
            f"widths names a group of channels '{unknown[0]}' that the model does not have",
            f"its groups are {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}",
        )


def _step(settings: StageSettings, count: int) -> int:
    return min(settings.width_step, count)


def _first(order: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    stays = np.zeros(len(order), bool)
    stays[order[:count]] = True
    return stays


def _greedy(
    graph: ChannelGraph,
    groups: Sequence[Group],
    importance: Importance,
    best: dict[str, npt.NDArray[np.int64]],
    fixed: Kept,
    step: int,
    budget: int,
) -> dict[str, int]:
    """Channels of each group that are left once steps of least importance per multiply-accumulate have gone.

    The order of steps does not depend on the budget, so a smaller budget removes what a larger one does, and more.
    """
    keep = graph.keep(fixed)
    counts = {group.name: len(group) for group in groups}
    now = graph.macs.channels(keep.astype(np.float64))
    # The next step of each group: how many stay after it, what it costs, and the channels it takes from each layer.
    candidates = {group.name: _next_step(graph, group, importance, best, counts, step) for group in groups}
    total = graph.macs.total(keep)
    while total > budget:
        names = [name for name, candidate in candidates.items() if candidate is not None]
        if not names:
            break
        steps = [candidate for candidate in candidates.values() if candidate is not None]
        saved = graph.macs.saved(now, (np.array([s[2] for s in steps]), np.array([s[3] for s in steps])))
        chosen = int(np.argmin(np.array([s[1] for s in steps]) / np.maximum(saved, 1)))
        name = names[chosen]
        counts[name] = steps[chosen][0]
        now = (now[0] - steps[chosen][2], now[1] - steps[chosen][3])
        total -= round(float(saved[chosen]))
        group = next(group for group in groups if group.name == name)
        candidates[name] = _next_step(graph, group, importance, best, counts, step)
    return counts


def _next_step(
    graph: ChannelGraph,
    group: Group,
    importance: Importance,
    best: dict[str, npt.NDArray[np.int64]],
    counts: dict[str, int],
    step: int,
) -> tuple[int, float, npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    have = counts[group.name]
    left = (have - 1) // step * step
    if left < 1:
        return None
    going = best[group.name][left:have]
    gone = np.zeros(graph.classes)
    gone[group.classes[going]] = 1
    inputs, outputs = graph.macs.channels(gone)
    return left, float(importance[group.name][going].sum()), inputs, outputs

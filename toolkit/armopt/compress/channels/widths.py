"""From importance and settings to the channels that stay."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from armopt.compress.channels.greedy import least_worth_first
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

    Scope 'layer': every group keeps the share `width`. Scope 'global': steps that are worth least for each
    multiply-accumulate saved go first, until the model has no more than the same width in every group would leave it.
    What stays at a width stays at every larger one.

    Raises:
        UsageError: `widths` names a group that is not there.
    """
    groups = prunable_groups(graph, settings)
    _check_names(graph, settings)
    kept = {
        group.name: best_channels(
            importance[group.name],
            channels_kept(len(group), settings.widths.get(group.name, settings.width), settings.width_step),
        )
        for group in groups
    }
    if settings.scope == "global":
        free = [group for group in groups if group.name not in settings.widths]
        fixed = {name: stays for name, stays in kept.items() if name in settings.widths}
        budget = graph.macs.total(graph.keep(kept))
        kept = {**fixed, **least_worth_first(graph, free, importance, fixed, settings.width_step, budget)}
    return {name: stays for name, stays in kept.items() if not stays.all()}


def best_channels(scores: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.bool_]:
    """Which channels stay if `count` do; the first of equals."""
    stays = np.zeros(len(scores), bool)
    stays[np.argsort(-scores, kind="stable")[:count]] = True
    return stays


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
    return is_spared(Kernel(f"{path}/{attribute}", layer.name, "conv", getattr(layer, attribute)), settings.spare)


def _check_names(graph: ChannelGraph, settings: StageSettings) -> None:
    names = [group.name for group in graph.groups]
    unknown = [name for name in settings.widths if name not in names]
    if unknown:
        raise UsageError(
            f"widths names a group of channels '{unknown[0]}' that the model does not have",
            f"its groups are {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}",
        )

"""One width for each group, chosen for all groups together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from armopt.compress.channels.groups import ChannelGraph, Group, Kept
from armopt.compress.channels.importance import Importance
from armopt.compress.channels.macs import Floats


def least_worth_first(
    graph: ChannelGraph, groups: Sequence[Group], importance: Importance, fixed: Kept, step: int, budget: int
) -> Kept:
    """Which channels of `groups` stay once the steps that are worth least have gone, down to `budget`.

    What is kept as large as the budget allows is a product over all layers: the share of importance left to a layer's
    inputs times that left to its outputs. Channels that many layers share, as those of a residual stream, count once
    for each of them, and no group is thinned to nothing because its scores are small. The step that goes next lowers
    the product's logarithm least for each multiply-accumulate that it saves now. The order does not depend on the
    budget, so that a smaller one removes what a larger one does, and more. One step of each group stays.

    Args:
        graph: of the model.
        groups: whose widths are free.
        importance: of their channels.
        fixed: what is kept of other groups.
        step: widths are multiples of it, or whole.
        budget: multiply-accumulates of the whole model; more are left where every group is down to one step.
    """
    keep = graph.keep(fixed)
    total, now = graph.macs.total(keep), graph.macs.channels(keep.astype(np.float64))
    stays = {group.name: np.ones(len(group), bool) for group in groups}
    layers = _layers_of_classes(graph)
    steps = {
        group.name: _steps(
            graph, group, importance[group.name], step, len(group.producers) + layers[group.classes].max()
        )
        for group in groups
    }
    while total > budget and any(steps.values()):
        names = [name for name, left in steps.items() if left]
        nearest = [steps[name][0] for name in names]
        saved = graph.macs.saved(now, (np.array([s.inputs for s in nearest]), np.array([s.outputs for s in nearest])))
        worth = np.array([s.worth for s in nearest])
        chosen = int(np.argmin(worth / np.maximum(saved, 1)))
        gone = steps[names[chosen]].pop(0)
        stays[names[chosen]][gone.channels] = False
        now = (now[0] - gone.inputs, now[1] - gone.outputs)
        total -= round(float(saved[chosen]))
    return stays


@dataclass(frozen=True, eq=False)
class _Step:
    """Channels of a group that go together.

    Attributes:
        channels: their places in the group.
        worth: by how much the logarithm of what is left to all layers falls when they go.
        inputs: how many channels they take from the inputs of each piece of the model's work.
        outputs: the same of the outputs.
    """

    channels: npt.NDArray[np.int64]
    worth: float
    inputs: Floats
    outputs: Floats


def _layers_of_classes(graph: ChannelGraph) -> npt.NDArray[np.int64]:
    """How many layers sum over the channels of each class."""
    count = np.zeros(graph.classes, np.int64)
    for _, _, classes in graph.consumers().values():
        count[np.unique(classes)] += 1
    return count


def _steps(graph: ChannelGraph, group: Group, scores: npt.NDArray[np.float64], step: int, layers: int) -> list[_Step]:
    """The group's steps, least important first, but for the one that stays; `layers` make or read its channels."""
    best = np.argsort(-scores, kind="stable")
    found = []
    for start in reversed(range(step, len(best), step)):
        channels = best[start : start + step]
        gone = np.zeros(graph.classes)
        gone[group.classes[channels]] = 1
        left, less = float(scores[best[:start]].sum()), float(scores[channels].sum())
        lost = math.log1p(less / left) if left > 0 else 0.0
        found.append(_Step(channels, layers * lost, *graph.macs.channels(gone)))
    return found

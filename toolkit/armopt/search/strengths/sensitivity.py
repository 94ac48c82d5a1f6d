"""How much each layer and each group of channels hurts by itself: one-shot, untrained, on samples of val."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from armopt.compress.channels.slim import score_channels, slim
from armopt.compress.channels.widths import prunable_groups
from armopt.compress.data import Data
from armopt.compress.kernels import Kernel
from armopt.compress.models import copy_model
from armopt.compress.quality import score_keras
from armopt.compress.stages.cluster import assign_clusters
from armopt.compress.stages.patterns import smallest_masked
from armopt.compress.stages.selection import prunable
from armopt.compress.task import Task
from armopt.core.events import Doing, Listener
from armopt.core.profile import StageSettings
from armopt.core.search_record import Sensitivity

# Strong enough to be felt in one layer alone, where the strengths that are searched over leave one layer unhurt.
SPARSITY = 0.8
CLUSTERS = 6
WIDTH = 0.5
SAMPLES = 1000

Kind = Literal["channels", "prune", "cluster"]


def sensitivities(
    model: Any, data: Data, task: Task, settings: StageSettings, with_channels: bool, listener: Listener
) -> tuple[Sensitivity, ...]:
    """The metric's drop for each group of channels at half width, each kernel at 80% zeros, and each at 6 clusters.

    Args:
        model: as given; not changed.
        data: val is scored on at most 1,000 samples, train tells which channels matter.
        task: metric, and the loss that importance comes from.
        settings: which kernels may be touched, and how channels are ranked.
        with_channels: groups of channels too.
        listener: told which layer is being tried.
    """
    val = data.val.sample(SAMPLES)
    whole = score_keras(model, val, task)
    copy = copy_model(model)
    found = []
    for kind, name, strength, changed in _changes(model, copy, data, task, settings, with_channels):
        listener(Doing(f"sensitivity of {name} to {kind}"))
        drop = task.metric.drop(whole, score_keras(changed, val, task))
        known = round(drop, 6) if math.isfinite(drop) else None
        found.append(Sensitivity(name=name, kind=kind, strength=strength, drop=known))
    return tuple(found)


def touchable(model: Any, settings: StageSettings) -> int:
    """How many layers the settings let be pruned or clustered."""
    return len({kernel.layer for kernel in prunable(model, settings)})


def _changes(
    model: Any, copy: Any, data: Data, task: Task, settings: StageSettings, with_channels: bool
) -> Iterator[tuple[Any, str, float, Any]]:
    """Kind, name and strength of one change after the other, with a model that has this one change alone."""
    if with_channels:
        yield from _narrower(model, data, task, settings)
    for kernel in prunable(copy, settings):
        values = kernel.variable.numpy()
        kernel.variable.assign(_pruned(kernel, values))
        yield "prune", kernel.layer, SPARSITY, copy
        kernel.variable.assign(_clustered(values))
        yield "cluster", kernel.layer, CLUSTERS, copy
        kernel.variable.assign(values)


def _narrower(model: Any, data: Data, task: Task, settings: StageSettings) -> Iterator[tuple[Kind, str, float, Any]]:
    scores = score_channels(model, settings, data, task)
    for group in prunable_groups(scores.graph, settings):
        alone = settings.model_copy(update={"width": 1.0, "widths": {group.name: WIDTH}, "scope": "layer"})
        yield "channels", group.name, WIDTH, slim(model, alone, data, task, scores).model


def _pruned(kernel: Kernel, values: Any) -> Any:
    return np.where(smallest_masked(values, SPARSITY), values, 0).astype(values.dtype)


def _clustered(values: Any) -> Any:
    """Each weight at the mean of its cluster."""
    codes = assign_clusters(values, CLUSTERS, None).reshape(-1)
    flat = values.reshape(-1)
    sums = np.bincount(codes, flat, minlength=CLUSTERS)
    counts = np.maximum(np.bincount(codes, minlength=CLUSTERS), 1)
    return (sums / counts)[codes].reshape(values.shape).astype(values.dtype)

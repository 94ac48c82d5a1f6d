"""How much a model needs each of its channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.backend import keras, tf
from armopt.compress.channels.groups import ChannelGraph
from armopt.compress.data import Split
from armopt.compress.models import fixed_batch
from armopt.compress.task import Task

Importance = Mapping[str, npt.NDArray[np.float64]]
"""By a group's name a score for each of its channels; a higher one is kept longer. Comparable within a group."""

# Every batch is one term of the sum, and what the figures of docs/adr/015-channel-pruning.md were taken with.
_BATCHES = 20
_BATCH_SIZE = 100


def channel_importance(graph: ChannelGraph, how: str, train: Split, task: Task, seed: int) -> Importance:
    """Scores of all channels that can be removed.

    Args:
        graph: of the model.
        how: 'taylor', 'l1' or 'random'.
        train: samples for 'taylor', 2,000 of which are used.
        task: loss for 'taylor'.
        seed: draws the samples, or the scores of 'random'.
    """
    if how == "random":
        scores = np.random.default_rng(seed).random(graph.classes)
    elif how == "l1":
        scores = _l1(graph)
    else:
        scores = _taylor(graph, train, task, seed)
    return {group.name: scores[group.classes] for group in graph.groups}


def _l1(graph: ChannelGraph) -> npt.NDArray[np.float64]:
    """Mean absolute weight of a channel's slices in all kernels that sum over it, each kernel's own mean being one.

    The kernels that make the channel say little: batch normalization behind them undoes their scale.
    """
    sums, counts = np.zeros(graph.classes), np.zeros(graph.classes)
    for path, (attribute, axis, labels) in graph.consumers().items():
        kernel = np.abs(getattr(graph.layers[path], attribute).numpy())
        means = kernel.mean(_others(kernel.ndim, axis), dtype=np.float64)
        sums += np.bincount(labels, means / max(means.mean(), 1e-30), graph.classes)
        counts += np.bincount(labels, minlength=graph.classes)
    scores: npt.NDArray[np.float64] = sums / np.maximum(counts, 1)
    return scores


def _taylor(graph: ChannelGraph, train: Split, task: Task, seed: int) -> npt.NDArray[np.float64]:
    """Change of the loss to first order, its root mean square over batches (after Molchanov et al. 2019).

    Removing a channel is zeroing its slices of every kernel that sums over it; to first order the loss changes by the
    sum of weight times gradient over those slices.
    """
    consumers = list(graph.consumers().items())
    kernels = [getattr(graph.layers[path], attribute) for path, (attribute, *_) in consumers]
    axes = [axis for _, (_, axis, _) in consumers]
    changes = _changes(graph.model, task, kernels, axes)
    scores = np.zeros(graph.classes)
    batch = fixed_batch(graph.model) or min(_BATCH_SIZE, len(train))
    rows = np.random.default_rng(seed).permutation(len(train))
    count = max(1, min(_BATCHES * _BATCH_SIZE, len(rows)) // batch)
    for number in range(count):
        few = train.take(np.resize(rows, count * batch)[number * batch : (number + 1) * batch])
        change = np.zeros(graph.classes)
        x, y = (tuple(tf.constant(array) for array in arrays) for arrays in (few.x, few.y))
        for (_, (_, _, labels)), found in zip(consumers, changes(x, y), strict=True):
            change += np.bincount(labels, found.numpy(), graph.classes)
        scores += change**2
    return np.sqrt(scores / count)


def _changes(model: Any, task: Task, kernels: list[Any], axes: list[int]) -> Callable[[Any, Any], list[Any]]:
    """A function of a batch: for each kernel the sum of weight times gradient over all axes but the given one."""
    # Another model of the same layers: compiling it leaves the given one as it is, and its loss is what `fit` has.
    judged = keras.Model(model.inputs, model._nested_outputs)
    judged.output_names = list(model.output_names)
    judged.compile(loss=task.loss)

    def changes(x: tuple[Any, ...], y: tuple[Any, ...]) -> list[Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels)
            outputs = judged(list(x) if len(x) > 1 else x[0], training=False)
            loss = judged.compiled_loss(list(y) if len(y) > 1 else y[0], outputs)
        gradients = tape.gradient(loss, kernels, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [
            tf.reduce_sum(kernel * gradient, _others(len(kernel.shape), axis))
            for kernel, gradient, axis in zip(kernels, gradients, axes, strict=True)
        ]

    compiled: Callable[[Any, Any], list[Any]] = tf.function(changes, autograph=False)
    return compiled


def _others(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(rank) if other != axis % rank)

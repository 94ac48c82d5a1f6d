"""Weight clustering: every kernel holds at most k values or codes; zeros of a pruned ancestor stay, a cluster apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.constraints import KernelConstraint
from armopt.compress.kernels import Kernel
from armopt.compress.models import copy_model
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.scales import scale_groups
from armopt.compress.shared_codes import share_codes
from armopt.compress.stages.base import Context, Workpiece
from armopt.compress.stages.selection import SELECTION_SETTINGS, prunable, strength_of
from armopt.compress.training import TRAINING_SETTINGS, describe_training, fine_tune
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings, refuse_too_few

USES = frozenset({"clusters", "layer_clusters", "clustering", *SELECTION_SETTINGS, *TRAINING_SETTINGS})

# Above this size k-means runs on a histogram: 4,096 bins place centroids within 1/4,096 of the range, far below the
# distance of two INT8 codes, at a thousandth of the cost.
_HISTOGRAM_BINS = 4096


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    what = {
        "shared": f"at most {settings.clusters} INT8 codes a kernel",
        "tensor": f"{settings.clusters} values a kernel",
        "channel": f"{settings.clusters} values a channel",
    }[settings.clustering]
    return f"cluster to {what}, {describe_training(settings)}"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """Cluster every kernel, then fine-tune under that promise.

    Zeros promised by an ancestor stay, a cluster of their own (sparsity-preserving clustering). Shared codes and
    clusters per channel need kernels with a scale per channel; others are clustered per tensor.

    Raises:
        ModelError: the model has no kernel to cluster.
        UsageError: too few clusters for shared codes.
    """
    settings = context.settings
    refuse_too_few(settings)
    model = copy_model(piece.model)
    constraints = piece.constraints
    targets = prunable(model, settings)
    if not targets:
        raise ModelError(f"model '{model.name}' has no kernel to cluster", "spare fewer layers, or leave cluster out")
    for kernel in targets:
        promised = constraints.get(kernel.key, KernelConstraint())
        constraints = constraints.with_kernel(kernel.key, clustered(kernel, promised, settings))
    keeping = ConstraintsCallback(constraints)
    fine_tune(model, context.data.train, context.task, settings, keeping, context.on_step, teacher=context.teacher)
    return Workpiece(model, keeping.constraints)


def clustered(kernel: Kernel, promised: KernelConstraint, settings: StageSettings) -> KernelConstraint:
    """The promise about one kernel with clusters in the way that the settings ask for."""
    values = kernel.variable.numpy()
    clusters = strength_of(kernel, settings.layer_clusters, settings.clusters)
    groups = scale_groups(kernel.kind, values.shape, kernel.inputs)
    if groups is None or settings.clustering == "tensor":
        return replace(promised, codes=assign_clusters(values, clusters, promised.keep), clusters=clusters)
    if settings.clustering == "channel":
        return replace(promised, codes=_per_channel(values, clusters, groups, promised.keep), clusters=clusters)
    shared = share_codes(values, clusters, groups, promised.keep)
    return replace(promised, codes=shared.codes, clusters=clusters, levels=shared.levels, groups=groups)


def _per_channel(
    kernel: npt.NDArray[np.floating[Any]],
    clusters: int,
    groups: npt.NDArray[np.int32],
    keep: npt.NDArray[np.bool_] | None,
) -> npt.NDArray[np.uint32]:
    """Codes that differ between channels, so that every channel has clusters of its own; 0 for promised zeros."""
    from threadpoolctl import threadpool_limits

    weights, kept = kernel.ravel(), None if keep is None else keep.ravel()
    codes = np.zeros(kernel.size, np.uint32)
    channel_of = np.broadcast_to(groups, kernel.shape).ravel()
    order = np.argsort(channel_of, kind="stable")
    used = 0
    # A channel's few hundred weights are not worth threads: waiting for them took 98% of the time on a busy machine.
    with threadpool_limits(1):
        for members in np.split(order, np.cumsum(np.bincount(channel_of, minlength=groups.size))[:-1]):
            own = assign_clusters(weights[members], clusters, None if kept is None else kept[members]).astype(np.uint32)
            codes[members] = own + used if kept is None else np.where(own > 0, own + used, 0)
            used = max(used, int(codes[members].max(initial=0)) + (kept is None))
    return codes.reshape(kernel.shape)


def assign_clusters(
    kernel: npt.NDArray[np.floating[Any]], clusters: int, keep: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.uint16]:
    """Code of each weight by 1-D k-means; same shape as `kernel`. Masked weights get code 0, alone.

    Args:
        kernel: weights of any shape.
        clusters: number of values at most, the zeros' included.
        keep: False where a weight is zero for good; None where none is.
    """
    survivors = kernel.ravel() if keep is None else kernel[keep]
    wanted = clusters if keep is None else clusters - 1
    centroids = _kmeans(survivors.astype(np.float64), wanted)
    edges = (centroids[1:] + centroids[:-1]) / 2
    nearest = np.searchsorted(edges, survivors).astype(np.uint16)
    # Codes without a member are closed up, so that codes run from 0 (or 1 beside zeros) without gaps.
    dense = np.unique(nearest, return_inverse=True)[1].reshape(-1).astype(np.uint16)
    if keep is None:
        return dense.reshape(kernel.shape)
    codes = np.zeros(kernel.shape, np.uint16)
    codes[keep] = dense + 1
    return codes


def _kmeans(values: npt.NDArray[np.float64], wanted: int) -> npt.NDArray[np.float64]:
    """Sorted centroids, at most `wanted`; starts at quantiles, so that the result is the same every time."""
    from sklearn.cluster import KMeans

    distinct = np.unique(values)
    if len(distinct) <= wanted:
        return distinct if len(distinct) else np.zeros(1)
    points, weights = values, np.ones(len(values))
    if len(values) > _HISTOGRAM_BINS:
        counts, edges = np.histogram(values, _HISTOGRAM_BINS)
        sums, _ = np.histogram(values, edges, weights=values)
        filled = counts > 0
        points, weights = sums[filled] / counts[filled], counts[filled].astype(np.float64)
    # float64 throughout: in float32 the sums behind the histogram's means would cost the last digits.
    start = np.unique(np.quantile(values, (np.arange(wanted) + 0.5) / wanted))
    found = KMeans(len(start), init=start[:, None], n_init=1, max_iter=300).fit(points[:, None], sample_weight=weights)
    return np.sort(found.cluster_centers_[:, 0])

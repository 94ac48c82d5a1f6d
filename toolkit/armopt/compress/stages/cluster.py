"""Weight clustering: every kernel holds at most k values; zeros of a pruned ancestor stay, a cluster apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.constraints import KernelConstraint
from armopt.compress.models import copy_model
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.stages.base import Context, Workpiece
from armopt.compress.stages.prune import prunable
from armopt.compress.training import TRAINING_SETTINGS, describe_training, fine_tune
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings

TRAINS = True
LEAF = False
USES = frozenset({"clusters", "depthwise", "spare", *TRAINING_SETTINGS})

# Above this size k-means runs on a histogram: 4,096 bins place centroids within 1/4,096 of the range, far below the
# distance of two INT8 codes, at a thousandth of the cost.
_HISTOGRAM_BINS = 4096


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return f"cluster to {settings.clusters} values, {describe_training(settings)}"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """Cluster every kernel, then fine-tune with codes fixed and codebooks training on.

    Zeros promised by an ancestor keep code 0 to themselves (sparsity-preserving clustering), so that the other
    clusters - 1 values describe the surviving weights only.

    Raises:
        ModelError: the model has no kernel to cluster.
    """
    settings = context.settings
    model = copy_model(piece.model)
    codes: dict[str, npt.NDArray[np.uint16]] = {}
    for kernel in prunable(model, settings):
        constraint = piece.constraints.get(kernel.key, KernelConstraint())
        codes[kernel.key] = assign_clusters(kernel.variable.numpy(), settings.clusters, constraint.keep)
    if not codes:
        raise ModelError(f"model '{model.name}' has no kernel to cluster", "spare fewer layers, or leave cluster out")
    constraints = piece.constraints.with_codes(codes, settings.clusters)
    keeping = ConstraintsCallback(constraints)
    keeping.project_onto(model)
    fine_tune(model, context.data.train, context.task, settings, keeping, context.on_step)
    return Workpiece(model, constraints)


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

"""Whether the codes of a tensor in a .tflite are those that clustering promised."""

from __future__ import annotations

from typing import Literal

import numpy as np

from armopt.compress.data import Array
from armopt.compress.tflite_file import WeightTensor
from armopt.core.errors import StructureLost

_MEND = "this file must not be deployed; please report how it was made"


def check_codes(
    tensor: WeightTensor, key: str, clusters: Array, allowed: int, levels: Array | None
) -> Literal["channel", "tensor"]:
    """Hold a tensor's codes against the clusters of its weights; returns what has at most `allowed` codes.

    Checked on the clusters' members, which also catches a code that changed within the allowed number.

    Args:
        tensor: of the file.
        key: the Keras kernel, for the error.
        clusters: the cluster of each weight, in the tensor's layout.
        allowed: number of codes.
        levels: the code of each cluster, of shared codes; None where a cluster is a float value.

    Raises:
        StructureLost: weights of one cluster have different codes, or there are more codes than allowed.
    """
    if levels is not None and tensor.codes.dtype == np.int8:
        _check_levels(tensor, key, levels[clusters], allowed)
        return "tensor"
    # With a float codebook a cluster is one code within a scale: within the tensor, or within each channel.
    whole = levels is None and tensor.scales.size == 1 and len(np.unique(clusters)) <= allowed
    parts = [(clusters.ravel(), tensor.codes.ravel())] if whole else _channels(tensor, clusters)
    torn, most = sum(_torn(*part) for part in parts), max(len(np.unique(codes)) for _, codes in parts)
    if torn or most > allowed:
        raise StructureLost(
            f"'{key}' was clustered to {allowed} values, the .tflite has {most} codes in a "
            f"{'tensor' if whole else 'channel'} and {torn:,} weights away from their cluster",
            _MEND,
        )
    return "tensor" if whole else "channel"


def _check_levels(tensor: WeightTensor, key: str, expected: Array, allowed: int) -> None:
    """Every code is its level; a channel that a negative gamma mirrored has the mirrored ones."""
    wrong = 0
    for level, code in _channels(tensor, expected):
        wrong += min(int((code != level).sum()), int((code != -level).sum()))
    found = len(np.unique(tensor.codes))
    if wrong or found > allowed:
        raise StructureLost(
            f"'{key}' was clustered to {allowed} shared codes, the .tflite has {found} codes and {wrong:,} weights "
            "away from their level",
            _MEND,
        )


def _channels(tensor: WeightTensor, clusters: Array) -> list[tuple[Array, Array]]:
    return list(zip(tensor.by_channel(clusters), tensor.by_channel(tensor.codes), strict=True))


def _torn(clusters: Array, codes: Array) -> int:
    order = np.argsort(clusters, kind="stable")
    return int(((np.diff(clusters[order]) == 0) & (np.diff(codes[order].astype(np.float64)) != 0)).sum())

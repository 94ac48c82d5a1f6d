"""What a .tflite proves: sizes, zeros and codes from its own bytes, and whether its ancestors' promises hold in it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armopt.compress.cluster_check import check_codes
from armopt.compress.constraints import KernelConstraint
from armopt.compress.data import Array
from armopt.compress.kinds import Kind
from armopt.compress.layouts import layouts
from armopt.compress.tflite_file import WeightTensor, read_weights
from armopt.core.errors import StructureLost
from armopt.core.records import Audit, LayerAudit

# Rounding to INT8 turns a channel by less than 1/128 of its length: a kernel's cosine with its own tensor is above
# 0.999, with another tensor of the same shape near 0.
_SAME_DIRECTION = 0.95


@dataclass(frozen=True, eq=False)
class Promise:
    """A constrained kernel: its promise, and the float values that tell which tensor of the file it became."""

    kind: Kind
    values: Array
    constraint: KernelConstraint


def audit(path: Path | str, promises: Mapping[str, Promise] | None = None) -> Audit:
    """Read a .tflite and hold it against promises.

    Args:
        path: any .tflite, whoever made it.
        promises: by kernel key; none for a foreign file.

    Raises:
        UsageError: missing or not a .tflite.
        StructureLost: a promised zero is not zero, or weights of one cluster have different codes.
    """
    path = Path(path)
    tensors = read_weights(path)
    content = path.read_bytes()
    found = {key: _find(promise, key, tensors) for key, promise in (promises or {}).items()}
    pieces: dict[tuple[int, int], tuple[str, _Piece]] = {}
    for key, matched in found.items():
        for tensor, piece in matched:
            pieces[tensor.index] = (key, piece)
    layers = tuple(_layer(tensor, *pieces.get(tensor.index, (None, None))) for tensor in tensors)
    weights = sum(int(tensor.codes.size) for tensor in tensors)
    zeros = sum(int(tensor.zeros.sum()) for tensor in tensors)
    clustered = [layer.codes for layer in layers if layer.codes_promised is not None] or [
        layer.codes for layer in layers
    ]
    return Audit(
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        gz_bytes=gzip_size(content),
        sparsity=zeros / weights if weights else 0.0,
        max_codes=max(clustered, default=0),
        layers=layers,
        unproven=tuple(key for key, matched in found.items() if not matched),
    )


def gzip_size(content: bytes) -> int:
    """Size in bytes of the content under gzip at level 9, the measure that published tables use."""
    return len(gzip.compress(content, 9, mtime=0))


@dataclass(frozen=True, eq=False)
class _Piece:
    """One tensor's share of a promise, in the file's layout."""

    keep: Array | None
    codes: Array | None
    clusters: int | None
    levels: Array | None


def _find(promise: Promise, key: str, tensors: Sequence[WeightTensor]) -> list[tuple[WeightTensor, _Piece]]:
    """Tensors that hold the kernel: those whose channels point where the kernel's do, copies for shared layers too."""
    constraint = promise.constraint
    nothing: Iterator[list[Array]] = iter(())
    masks = list(layouts(promise.kind, constraint.keep) if constraint.keep is not None else nothing)
    codes = list(layouts(promise.kind, constraint.codes) if constraint.codes is not None else nothing)
    for way, parts in enumerate(layouts(promise.kind, promise.values)):
        matched = []
        for number, part in enumerate(parts):
            for tensor in _holders(part, key, tensors):
                piece = _Piece(
                    masks[way][number] if masks else None,
                    codes[way][number] if codes else None,
                    constraint.clusters,
                    constraint.levels,
                )
                matched.append((tensor, piece))
        if len({id(piece) for _, piece in matched}) >= len(parts):
            return matched
    return []


def _holders(part: Array, key: str, tensors: Sequence[WeightTensor]) -> list[WeightTensor]:
    scored = [(_alike(part, tensor), tensor) for tensor in tensors if tensor.codes.shape == part.shape]
    candidates = [(score, tensor) for score, tensor in scored if score > _SAME_DIRECTION]
    if not candidates:
        return []
    # Channels of one or two weights point the same way by chance: there the layer's name decides.
    layer = key.rsplit("/", 2)[-2] if "/" in key else key
    named = [(score, tensor) for score, tensor in candidates if layer in tensor.name.replace(";", "/").split("/")]
    best = max(score for score, _ in named or candidates)
    return [tensor for score, tensor in named or candidates if score > best - 1e-6]


def _alike(part: Array, tensor: WeightTensor) -> float:
    """Mean absolute cosine between the channels of a kernel and of a tensor; batch norm only scales channels."""
    a = tensor.by_channel(part.astype(np.float64))
    b = tensor.by_channel(tensor.values.astype(np.float64))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    alive = lengths > 0
    if not alive.any():
        return 1.0 if not a.any() and not b.any() else 0.0
    return float(np.mean(np.abs((a * b).sum(1)[alive] / lengths[alive])))


def _layer(tensor: WeightTensor, key: str | None, piece: _Piece | None) -> LayerAudit:
    zeros = tensor.zeros
    per_channel = [len(np.unique(channel)) for channel in tensor.by_channel(tensor.codes)]
    promised = added = scope = None
    if key is not None and piece is not None:
        if piece.keep is not None:
            promised, added = _check_zeros(tensor, key, piece.keep, zeros)
        if piece.codes is not None:
            scope = check_codes(tensor, key, piece.codes, piece.clusters or 0, piece.levels)
    return LayerAudit(
        name=tensor.name[:200],
        kind=tensor.operator,
        dtype=str(tensor.codes.dtype),
        shape=tensor.codes.shape,
        sparsity=float(zeros.mean()),
        codes=len(np.unique(tensor.codes)),
        codes_per_channel=max(per_channel),
        zeros_promised=promised,
        zeros_added=added,
        codes_promised=piece.clusters if piece is not None and scope is not None else None,
        codes_scope=scope,
        constraint=key,
    )


def _check_zeros(tensor: WeightTensor, key: str, keep: Array, zeros: Array) -> tuple[int, int]:
    lost = int((~keep & ~zeros).sum())
    if lost:
        raise StructureLost(
            f"{lost:,} of {int((~keep).sum()):,} pruned weights of '{key}' are not zero in the .tflite",
            "this file must not be deployed; please report how it was made",
        )
    return int((~keep).sum()), int((keep & zeros).sum())

"""Whether XNNPACK will run a float .tflite with its sparse kernels, and if not, what stands in the way.

XNNPACK lays a part of the graph out channel by channel (NCHW), which its kernels for sparse 1x1 convolutions need, only
where all of that part can be: from a first convolution that reads a picture to a mean over height and width. This
module decides as it does. Source: XNNPACK's src/subgraph.c, xnn_check_nchw_compatibility and
xnn_subgraph_rewrite_for_nchw; what is here was held against what LiteRT 2.1.6 runs (docs/adr/016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armopt.compress.sparse_graph import Operation, read_operations
from armopt.compress.tflite_file import read_weights

# XNNPACK: "less than 2/3rd of zeroes in 1x1 Convolution filters".
LEAST_ZEROS = 2 / 3
# So many obstacles are named: one change often mends several.
_NAMED = 3


@dataclass(frozen=True)
class SparsePath:
    """What XNNPACK will make of a file.

    Attributes:
        obstacles: why it won't run it sparse, in sentences without a full stop; empty where it will.
        zeros: share of zeros over the 1x1 convolutions that could run sparse; None where there are none.
    """

    obstacles: tuple[str, ...]
    zeros: float | None


def sparse_path(path: Path) -> SparsePath:
    """Whether the sparse kernels will run on a core without AVX, by the file alone.

    Raises:
        UsageError: missing or not a .tflite.
    """
    operations, stored_sparse = read_operations(path)
    obstacles, convolutions = _parts(operations)
    zeros = _zeros(path, convolutions)
    if obstacles or zeros is None:
        return SparsePath(tuple(obstacles)[:_NAMED] or ("it has no 1x1 convolution there",), zeros)
    if zeros <= LEAST_ZEROS:
        return SparsePath(
            (f"its 1x1 convolutions hold {zeros:.0%} zeros, and have to hold more than two thirds",), zeros
        )
    return SparsePath((() if stored_sparse else ("no kernel is stored without its zeros (DENSIFY)",)), zeros)


def _parts(operations: tuple[Operation, ...]) -> tuple[dict[str, None], list[Operation]]:
    """Obstacles of all parts that end in a mean, and the 1x1 convolutions of the parts that have none."""
    makers = {tensor: operation for operation in operations for tensor in operation.outputs}
    obstacles: dict[str, None] = {}
    convolutions: list[Operation] = []
    ends = [operation for operation in operations if operation.role == "end"]
    begins = [operation for operation in operations if operation.role == "begin"]
    if not begins:
        obstacles[_why_no_begin(operations)] = None
    if not ends:
        obstacles["it does not end in a mean over height and width (GlobalAveragePooling2D)"] = None
    done: set[int] = set()
    for end in reversed(ends):
        if end.index in done:
            continue
        part, found = _part(end, makers)
        done |= {operation.index for operation in part}
        found += _leaks(part, operations)
        if found and begins:
            obstacles.update(dict.fromkeys(found))
        convolutions += [] if found else [operation for operation in part if operation.pointwise]
    return ({} if convolutions else obstacles), convolutions


def _part(end: Operation, makers: Mapping[int, Operation]) -> tuple[list[Operation], list[str]]:
    """All that leads to `end` from where a part may begin, and what of it can't be laid out by channel."""
    part, found, ahead = {end.index: end}, [], [end]
    while ahead:
        operation = ahead.pop()
        if operation.role == "begin":
            continue
        for tensor in operation.inputs:
            maker = makers.get(tensor)
            if maker is None:
                found.append(f"{operation.label} reads the model's input")
            elif maker.role == "none":
                found.append(f"{maker.label} {maker.reason}")
            elif maker.index not in part:
                part[maker.index] = maker
                ahead.append(maker)
    return list(part.values()), found


def _leaks(part: list[Operation], operations: tuple[Operation, ...]) -> Iterator[str]:
    """Readers of what is inside a part that can't read it as it is laid out there."""
    inside = {operation.index for operation in part}
    read_inside = {tensor for operation in part if operation.role != "begin" for tensor in operation.inputs}
    for operation in operations:
        if operation.index not in inside and operation.role == "none" and read_inside & set(operation.inputs):
            yield f"{operation.label} {operation.reason}"


def _why_no_begin(operations: tuple[Operation, ...]) -> str:
    wanted = (
        "its first convolution has to be 3x3 of stride 2 on 3 channels with one row and column of zeros on each side"
    )
    first = next((operation for operation in operations if operation.kind == "CONV_2D"), None)
    return f"{wanted} (ZeroPadding2D(1) and padding='valid')" + (
        f"; it {first.reason}" if first and first.reason else ""
    )


def _zeros(path: Path, convolutions: list[Operation]) -> float | None:
    wanted = {operation.kernel for operation in convolutions}
    kernels = [tensor for tensor in read_weights(path) if tensor.index in {(0, kernel) for kernel in wanted}]
    weights = sum(int(tensor.codes.size) for tensor in kernels)
    return float(sum(int(np.count_nonzero(tensor.zeros)) for tensor in kernels)) / weights if weights else None

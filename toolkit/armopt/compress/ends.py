"""Finds the layers that read a model's inputs and those that make its outputs, however the model is put together."""

from __future__ import annotations

from typing import Any

from armopt.compress.backend import tf
from armopt.compress.kernels import Kernel, kernels_of


def first_layers(model: Any) -> frozenset[str]:
    """Keys of the kernels whose layer sees the model's inputs with no other kernel in between."""
    return _ends(model)[0]


def last_layers(model: Any) -> frozenset[str]:
    """Keys of the kernels whose layer has no other kernel between itself and the model's outputs."""
    return _ends(model)[1]


def _ends(model: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Both, from the traced graph: the order of calls, also inside nested and subclassed models.

    A branch has its own first and its own last layer. A layer with several kernels counts as one.
    """
    kernels = kernels_of(model)
    uses = _uses(model, kernels)
    first, not_last = set(), set()
    for key, above in uses:
        others = {other for other in above if _layer(other) != _layer(key)}
        not_last |= others
        if not others:
            first.add(_layer(key))
    used = {key for key, _ in uses}
    return (
        frozenset(kernel.key for kernel in kernels if _layer(kernel.key) in first),
        frozenset(used - not_last),
    )


def _uses(model: Any, kernels: list[Kernel]) -> list[tuple[str, frozenset[str]]]:
    """For each use of a kernel on data: its key, and the kernels that those data have been through."""
    graph = _traced(model)
    key_of = {id(kernel.variable.handle): kernel.key for kernel in kernels}
    captured = {inner.name for _, inner in graph.captures}
    data = {tensor.name for tensor in graph.inputs} - captured
    behind = {inner.name: frozenset({key_of[id(outer)]}) for outer, inner in graph.captures if id(outer) in key_of}
    nothing: frozenset[str] = frozenset()
    uses = []
    # Operations stand in the order of their making, inputs before consumers; a loop is one operation on the outside.
    for operation in graph.get_operations():
        names = [tensor.name for tensor in operation.inputs]
        above = nothing.union(*(behind.get(name, nothing) for name in names if name in data))
        brought = nothing.union(*(behind.get(name, nothing) for name in names if name not in data))
        on_data = any(name in data for name in names)
        if on_data:
            uses += [(key, above) for key in sorted(brought)]
        for output in operation.outputs:
            if on_data:
                data.add(output.name)
            if names:
                behind[output.name] = above | brought
    return uses


def _traced(model: Any) -> Any:
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]

    def run(*inputs: Any) -> Any:
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    return tf.function(run).get_concrete_function(*specs).graph


def _layer(key: str) -> str:
    return key.rsplit("/", 1)[0]

"""A functional model with functional models inside it as one list of calls of its innermost layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from armopt.compress.backend import keras, tf


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor between calls."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer that is no model, or no functional one.

    Attributes:
        layer: of the source model.
        path: `outer/inner/layer`, equal for all calls of the layer.
        number: how many calls of the same layer come before.
        args: positional arguments, `Value` wherever there was a tensor.
        kwargs: the same by name; `training` is there where an enclosing model was called with it.
        outputs: what the call returns, flattened.
    """

    layer: Any
    path: str
    number: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]

    @property
    def inputs(self) -> list[Value]:
        """All tensors among the arguments."""
        return [value for value in tf.nest.flatten((self.args, self.kwargs)) if isinstance(value, Value)]


@dataclass(eq=False)
class Flat:
    """The calls of a model in the order of computation.

    Attributes:
        inputs: one value for each of the model's input tensors.
        calls: of the innermost layers.
        outputs: the model's, flattened.
    """

    inputs: list[Value]
    calls: list[Call] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)

    def consumers(self) -> dict[Value, list[Call | None]]:
        """For each value the calls that take it; None stands for the model's output."""
        found: dict[Value, list[Call | None]] = {}
        for call in self.calls:
            for value in call.inputs:
                found.setdefault(value, []).append(call)
        for value in self.outputs:
            found.setdefault(value, []).append(None)
        return found

    def makers(self) -> dict[Value, Call]:
        """For each value that is no input the call that makes it."""
        return {value: call for call in self.calls for value in call.outputs}


def is_graph(model: Any) -> bool:
    """True for Sequential and functional models, whose layers and their connections are all that they compute."""
    return (
        isinstance(model, keras.Model)
        and bool(getattr(model, "_nodes_by_depth", None))
        # A class may be built from a graph and then compute something else.
        and type(model).call in (keras.Sequential.call, keras.Sequential.__base__.call)
    )


def flatten(model: Any) -> Flat:
    """The calls of a Sequential or functional model; of models within it too, each time that they are called."""
    flat = Flat([Value() for _ in model.inputs])
    flat.outputs = _walk(model, flat.inputs, "", None, flat, {})
    return flat


def unique_name(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken already; `taken` holds it afterwards."""
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}.{number}"
    taken.add(unique)
    return unique


def _walk(
    model: Any, inputs: list[Value], prefix: str, training: bool | None, flat: Flat, seen: dict[int, tuple[str, int]]
) -> list[Value]:
    known = {str(id(tensor)): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    for node in _nodes(model):
        if any(key not in known for key in node.flat_input_ids):
            continue
        args, kwargs = node.map_arguments({key: _Source(known[key]) for key in node.flat_input_ids})
        layer = node.layer
        mode = kwargs["training"] if kwargs.get("training") is not None else training
        if is_graph(layer):
            given = list(layer._flatten_to_reference_inputs(args[0] if args else kwargs["inputs"]))
            made = _walk(layer, given, f"{prefix}{layer.name}/", mode, flat, seen)
        else:
            path, number = seen.get(id(layer), (f"{prefix}{layer.name}", 0))
            seen[id(layer)] = (path, number + 1)
            if mode is not None and layer._expects_training_arg:
                kwargs = {**kwargs, "training": mode}
            made = [Value() for _ in node.flat_output_ids]
            flat.calls.append(Call(layer, path, number, tuple(args), dict(kwargs), tuple(made)))
        known.update(zip(node.flat_output_ids, made, strict=True))
    return [known[str(id(tensor))] for tensor in model.outputs]


class _Source:
    """What Keras pops a node's argument from, as often as it needs it."""

    def __init__(self, value: Value) -> None:
        self._value = value

    def pop(self) -> Value:
        return self._value


def _nodes(model: Any) -> Iterator[Any]:
    """Calls within a model in the order in which Keras computes them (`Functional._run_internal_graph`)."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                yield node

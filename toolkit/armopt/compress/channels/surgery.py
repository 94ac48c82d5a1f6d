"""Builds a model again with fewer channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.backend import keras, tf
from armopt.compress.channels.groups import ChannelGraph, Kept
from armopt.compress.channels.parts import Ids, Part
from armopt.compress.flatten import Call, Value, unique_name
from armopt.core.errors import ModelError


def shrink(model: Any, kept: Kept) -> Any:
    """A functional model of what is kept, flat, with the weights that are left; the given model stays as it is.

    Its outputs are those of the given model with every removed channel's slices zero in the kernels that sum over it.
    Layers are named by their path in the given model (`inner/conv`), so that kernels keep their keys.

    Args:
        model: Sequential or functional.
        kept: by a group's name which channels stay; other groups stay whole.

    Raises:
        ModelError: `kept` does not fit the model, or a layer can't be made from its configuration.
    """
    return shrunk(ChannelGraph(model), kept)


def shrunk(graph: ChannelGraph, kept: Kept) -> Any:
    """The same for a model whose channels are known already."""
    builder = _Builder(graph, graph.keep(kept))
    try:
        return builder.built()
    except (NotImplementedError, TypeError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"model '{graph.model.name}' can't be built with fewer channels: {lines[0][:160]}",
            f"spare the layer '{builder.at}', or leave channels out of the tree",
        ) from error


class _Builder:
    def __init__(self, graph: ChannelGraph, keep: npt.NDArray[np.bool_]) -> None:
        self._graph, self._keep = graph, keep
        self._tensors: dict[Value, Any] = {}
        self._twins: dict[str, Any] = {}
        self._names: set[str] = set()
        self.at = ""

    def built(self) -> Any:
        source, flat = self._graph.model, self._graph.flat
        inputs = []
        for value, tensor in zip(flat.inputs, source.inputs, strict=True):
            name = unique_name(tensor.name.split(":")[0], self._names)
            entry = keras.Input(batch_shape=tuple(tensor.shape), dtype=tensor.dtype, name=name)
            inputs.append(entry)
            self._tensors[value] = entry
        for call in flat.calls:
            self.at = call.path
            args, kwargs = tf.nest.map_structure(
                lambda argument: self._tensors[argument] if isinstance(argument, Value) else argument,
                (call.args, call.kwargs),
            )
            made = tf.nest.flatten(self._called(call, args, kwargs))
            self._tensors.update(zip(call.outputs, made, strict=True))
        outputs = [self._tensors[value] for value in flat.outputs]
        model = keras.Model(inputs, tf.nest.pack_sequence_as(source._nested_outputs, outputs))
        model._name = source.name
        model.output_names = list(source.output_names)  # a loss may name them
        return model

    def _called(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        known = self._twins.get(call.path)
        if known is not None:
            return known(*args, **kwargs)
        part = self._graph.parts.get(call.path)
        twin = self._twins[call.path] = self._twin(call, part)
        result = twin(*args, **kwargs)
        cuts = {id(getattr(call.layer, name, None)): by_axis for name, by_axis in part.axes.items()} if part else {}
        for theirs, ours in zip(call.layer.weights, twin.weights, strict=True):
            ours.assign(self._cut(theirs.numpy(), cuts.get(id(theirs), {})))
        for layer, copy in zip(call.layer._flatten_layers(), twin._flatten_layers(), strict=True):
            if copy is not twin:
                # Layers that a custom layer makes without naming them are numbered on; kernels are known by names.
                copy._name = layer.name
            copy.finalize_state()  # preprocessing layers compute with what they derive from their variables
        return result

    def _twin(self, call: Call, part: Part | None) -> Any:
        config = call.layer.get_config()
        for key, labels in (part.sizes if part else {}).items():
            left = int(self._keep[labels].sum())
            old = config[key]
            config[key] = (*old[:-1], old[-1] if old[-1] == -1 else left) if isinstance(old, (tuple, list)) else left
        if part is not None:
            config.pop("batch_input_shape", None)  # of a Sequential's first layer, whose input may be narrower now
        twin = type(call.layer).from_config(config)
        twin._name = unique_name(call.path, self._names)
        return twin

    def _cut(self, weight: npt.NDArray[Any], by_axis: dict[int, Ids] | Any) -> npt.NDArray[Any]:
        for axis, labels in by_axis.items():
            weight = np.compress(self._keep[labels], weight, axis)
        return weight

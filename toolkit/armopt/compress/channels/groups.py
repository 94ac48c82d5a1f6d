"""Which channels of a model have to stay or go together, and which have to stay whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.channels.macs import Macs, fixed_macs
from armopt.compress.channels.parts import Identities, Ids, Part, Refused, Shape, Site, Work
from armopt.compress.channels.rules import rule_of
from armopt.compress.channels.shapes import value_shapes
from armopt.compress.flatten import Call, Value, flatten, is_graph
from armopt.core.errors import ModelError

Kept = Mapping[str, npt.NDArray[np.bool_]]
"""By a group's name, which of its channels stay; a group that is not named stays whole."""


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that the same layers make: one width.

    Attributes:
        name: path of the first layer that makes them; a further group of the same first layer has `~2` behind it.
        producers: paths of all layers that make them, in the order of computation.
        classes: numbers of the classes of channels; one class is kept or removed as a whole, in all layers it is in.
    """

    name: str
    producers: tuple[str, ...]
    classes: Ids

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class Frozen:
    """Channels that have to stay.

    Attributes:
        layer: path of the layer that makes them.
        reason: what holds them, as a sentence without a full stop.
        at_the_end: they are the model's outputs, as some are in every model.
    """

    layer: str
    reason: str
    at_the_end: bool = False


class ChannelGraph:
    """The channels of a functional or Sequential model, models within it included.

    Attributes:
        model: as given; not changed.
        flat: its calls.
        classes: number of classes of channels.
        parts: by a layer's path where its channels lie, their classes in place of identities. Layers that are not
            in it keep their weights whole.
        layers: by path, every layer of the calls.
        groups: what can be pruned, in the order of computation.
        frozen: what can't, and why.
        macs: multiply-accumulates of the model for what is kept of it.

    Raises:
        ModelError: the model is a class, not a graph of layers.
    """

    def __init__(self, model: Any) -> None:
        if not is_graph(model):
            raise ModelError(
                f"model '{model.name}' is subclassed: its channels can't be followed",
                "build it as a functional model, or leave channels out of the tree",
            )
        self.model = model
        self.flat = flatten(model)
        tracer = _Tracer(model.name, self.flat.inputs, value_shapes(model, self.flat))
        for call in self.flat.calls:
            tracer.follow(call)
        self.layers: dict[str, Any] = {call.path: call.layer for call in self.flat.calls}
        parts = tracer.agreed()
        held = tracer.held(self.flat.outputs)
        labels = tracer.identities.labels()
        self.classes = int(labels.max(initial=-1)) + 1
        reasons = {int(label): reason for ids, reason in reversed(held) for label in labels[ids]}
        self.parts: dict[str, Part] = {path: part.mapped(lambda ids: labels[ids]) for path, part in parts.items()}
        self.groups = _groups(self.parts, frozenset(reasons))
        self.frozen = _frozen(self.parts, reasons) + tracer.refusals()
        work = [Work(w.factor, None if w.inputs is None else labels[w.inputs], labels[w.outputs]) for w in tracer.work]
        self.macs = Macs(work, self.classes, tracer.constant_macs)

    def keep(self, kept: Kept) -> npt.NDArray[np.bool_]:
        """For each class of channels whether it stays.

        Raises:
            ModelError: a group that the model does not have, or of another size, or of which nothing stays.
        """
        groups = {group.name: group for group in self.groups}
        keep = np.ones(self.classes, bool)
        for name, stays in kept.items():
            if name not in groups or stays.shape != (len(groups[name]),) or not stays.any():
                raise ModelError(
                    f"what is kept of channels '{name}' does not fit model '{self.model.name}'",
                    "use the model that the channels were chosen for",
                )
            keep[groups[name].classes] = stays
        return keep

    def consumers(self) -> dict[str, tuple[str, int, Ids]]:
        """By path, each layer that sums over channels: its kernel's attribute, the axis, and the classes along it."""
        return {
            path: (*part.consumes, part.axes[part.consumes[0]][part.consumes[1]])
            for path, part in self.parts.items()
            if part.consumes is not None
        }


class _Tracer:
    """Follows channels from call to call."""

    def __init__(self, model: str, inputs: list[Value], shapes: dict[Value, Shape]) -> None:
        self.identities = Identities()
        self.work: list[Work] = []
        self.constant_macs = 0
        self._shapes = shapes
        self._parts: dict[str, list[Part]] = {}
        self._touched: dict[str, list[Ids]] = {}
        self._layers: dict[str, Any] = {}
        self._refused: dict[str, str] = {}
        self._mixed: list[tuple[Ids, str]] = []
        self._ids = {value: self.identities.new(self._width(value)) for value in inputs}
        self._held = [(self._ids[value], f"it meets the inputs of model '{model}'") for value in inputs]

    def follow(self, call: Call) -> None:
        """Give the call's outputs their identities, by the layer's rule or new ones."""
        inputs = [self._ids[value] for value in call.inputs]
        self._layers[call.path] = call.layer
        try:
            part = self._checked(call, inputs)
            self._parts.setdefault(call.path, []).append(part)
            outputs = [part.outputs]
            self.work += part.work
            if part.mixes:
                self._mixed.append((part.outputs, f"{_words(call.path, call.layer)} {part.mixes}"))
        except Refused as refused:
            self._refused.setdefault(call.path, f"{_words(call.path, call.layer)} {refused}")
            outputs = [self.identities.new(self._width(value)) for value in call.outputs]
            shapes = [[self._shapes[value] for value in values] for values in (call.inputs, call.outputs)]
            self.constant_macs += fixed_macs(call.layer, *shapes)
        self._touched.setdefault(call.path, []).extend(inputs + outputs)
        self._ids.update(zip(call.outputs, outputs, strict=True))

    def agreed(self) -> dict[str, Part]:
        """By path one part for all calls of a layer, whose channels are the same at each of them."""
        for path, parts in self._parts.items():
            try:
                for other in parts[1:]:
                    # A layer that has neither weights nor sizes may do the same to different channels.
                    if other.axes or other.sizes:
                        for one, again in zip(parts[0].places(), other.places(), strict=True):
                            self.identities.join(one, again)
            except Refused as refused:
                self._refused.setdefault(path, f"{_words(path, self._layers[path])} {refused}")
        return {path: parts[0] for path, parts in self._parts.items() if path not in self._refused}

    def held(self, outputs: list[Value]) -> list[tuple[Ids, str]]:
        """Identities that have to stay, each with the reason; the first that is given is the one that counts."""
        at_end = [(self._ids[value], _AT_THE_END) for value in outputs]
        refused = [(ids, reason) for path, reason in self._refused.items() for ids in self._touched[path]]
        return [*at_end, *refused, *self._mixed, *self._held]

    def refusals(self) -> tuple[Frozen, ...]:
        """Layers that make channels in a way that can't be followed."""
        return tuple(
            Frozen(path, reason)
            for path, reason in self._refused.items()
            if any(len(weight.shape) > 1 for weight in self._layers[path].weights)
        )

    def _checked(self, call: Call, inputs: list[Ids]) -> Part:
        """What the layer's rule says, if it fits the layer's weights and all widths are known."""
        rule = rule_of(call.layer)
        if rule is None:
            raise Refused("is of a kind that channels are not followed through")
        if getattr(call.layer, "data_format", None) == "channels_first":
            raise Refused("has its channels first")
        shapes = [self._shapes[value] for value in (*call.inputs, *call.outputs)]
        if not call.inputs or len(call.outputs) != 1 or any(len(shape) < 2 or not shape[-1] for shape in shapes):
            raise Refused("has an unknown number of channels")
        part = rule(Site(call, inputs, shapes[:-1], shapes[-1], self.identities))
        for attribute, by_axis in part.axes.items():
            weight = getattr(call.layer, attribute, None)
            if weight is not None and any(weight.shape[axis] != len(ids) for axis, ids in by_axis.items()):
                raise Refused("has weights of an unusual shape")
        if len(part.outputs) != shapes[-1][-1]:
            raise Refused("makes another number of channels than expected")
        return part

    def _width(self, value: Value) -> int:
        shape = self._shapes[value]
        return (shape[-1] or 0) if len(shape) > 1 else 0


_AT_THE_END = "they are outputs of the model"


def _words(path: str, layer: Any) -> str:
    return f"'{path}' ({type(layer).__name__})"


def _groups(parts: Mapping[str, Part], frozen: frozenset[int]) -> tuple[Group, ...]:
    makers: dict[int, list[str]] = {}
    for path, part in parts.items():
        if part.produces:
            for label in np.unique(part.outputs):
                makers.setdefault(int(label), []).append(path)
    members: dict[tuple[str, ...], list[int]] = {}
    for label in sorted(makers):
        if label not in frozen:
            members.setdefault(tuple(makers[label]), []).append(label)
    names: dict[str, int] = {}
    groups = []
    for producers, labels in members.items():
        again = names[producers[0]] = names.get(producers[0], 0) + 1
        name = producers[0] if again == 1 else f"{producers[0]}~{again}"
        groups.append(Group(name, producers, np.array(labels, np.int64)))
    return tuple(groups)


def _frozen(parts: Mapping[str, Part], reasons: Mapping[int, str]) -> tuple[Frozen, ...]:
    found = []
    for path, part in parts.items():
        held = [reasons[int(label)] for label in part.outputs if int(label) in reasons] if part.produces else []
        if held:
            found.append(Frozen(path, held[0], held[0] == _AT_THE_END))
    return tuple(found)

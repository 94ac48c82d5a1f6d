"""What the rules of channel pruning speak: identities of channels, and what one call says about its layer's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from armopt.compress.flatten import Call

Ids = npt.NDArray[np.int64]
"""One identity for each place along an axis; places of equal identity are kept or removed together."""

Shape = tuple[int | None, ...]


class Refused(Exception):
    """Channels can't be followed through a layer; says why, as the end of a sentence that begins with its name."""


@dataclass(frozen=True, eq=False)
class Work:
    """Multiply-accumulates of one call: `factor` for each pair of an input and an output channel.

    Attributes:
        factor: positions times kernel taps.
        inputs: channels that each output sums over; None where it is one, as in a depthwise convolution.
        outputs: channels made.
    """

    factor: int
    inputs: Ids | None
    outputs: Ids


@dataclass(frozen=True, eq=False)
class Part:
    """What one call of a layer does to channels, and where they lie in the layer's weights and configuration.

    Attributes:
        outputs: identities along the last axis of what the call returns.
        axes: weight attribute -> axis, counted from the end -> identities along it.
        sizes: key of the layer's configuration -> identities that it counts; of a tuple, its last entry does.
        consumes: attribute and axis of the kernel that sums over the input channels: with its slices of a channel
            zero, nothing behind the layer depends on that channel. None: the layer passes channels on.
        produces: it makes channels of its own.
        work: for counting multiply-accumulates.
        mixes: why the channels returned have to stay although they can be followed; empty where they need not.
    """

    outputs: Ids
    axes: Mapping[str, Mapping[int, Ids]] = field(default_factory=dict)
    sizes: Mapping[str, Ids] = field(default_factory=dict)
    consumes: tuple[str, int] | None = None
    produces: bool = False
    work: tuple[Work, ...] = ()
    mixes: str = ""

    def places(self) -> Iterator[Ids]:
        """All arrays that must agree between two calls of one layer, in a fixed order."""
        yield self.outputs
        for by_axis in self.axes.values():
            yield from by_axis.values()
        yield from self.sizes.values()

    def mapped(self, of: Callable[[Ids], Ids]) -> Part:
        """The part with every identity replaced by another."""
        return Part(
            of(self.outputs),
            {name: {axis: of(ids) for axis, ids in by_axis.items()} for name, by_axis in self.axes.items()},
            {key: of(ids) for key, ids in self.sizes.items()},
            self.consumes,
            self.produces,
            tuple(
                Work(work.factor, None if work.inputs is None else of(work.inputs), of(work.outputs))
                for work in self.work
            ),
            self.mixes,
        )


class Identities:
    """Hands out identities and notes which of them are the same."""

    def __init__(self) -> None:
        self.count = 0
        self._joined: list[tuple[Ids, Ids]] = []

    def new(self, count: int) -> Ids:
        """That many identities that nothing has had before."""
        self.count += count
        return np.arange(self.count - count, self.count, dtype=np.int64)

    def join(self, one: Ids, other: Ids) -> None:
        """Say that two arrays of one length name the same channels.

        Raises:
            Refused: their lengths differ.
        """
        if len(one) != len(other):
            raise Refused("is called on different numbers of channels")
        self._joined.append((one, other))

    def labels(self) -> Ids:
        """For each identity the number of its class: the channels that are the same, by way of others too."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        empty = np.zeros(0, np.int64)
        rows = np.concatenate([empty, *(one for one, _ in self._joined)])
        columns = np.concatenate([empty, *(other for _, other in self._joined)])
        edges = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(self.count, self.count))
        found = connected_components(edges, directed=False)[1].astype(np.int64)
        # Numbered by their first channel, whatever order the search went in: stored choices rest on it.
        _, first = np.unique(found, return_index=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        labels: Ids = rank[found]
        return labels


@dataclass(frozen=True, eq=False)
class Site:
    """One call as a rule sees it.

    Attributes:
        call: with the layer of the source model.
        inputs: identities along the last axis of each tensor among the arguments.
        input_shapes: of the same tensors, batch first.
        output_shape: of the one tensor that the call returns.
        identities: where new channels come from, and where equal ones are noted.
    """

    call: Call
    inputs: list[Ids]
    input_shapes: list[Shape]
    output_shape: Shape
    identities: Identities

    @property
    def layer(self) -> Any:
        """The layer that is called."""
        return self.call.layer

    def only_input(self) -> Ids:
        """Identities of the one input.

        Raises:
            Refused: there are several.
        """
        if len(self.inputs) != 1:
            raise Refused("is called on several tensors")
        return self.inputs[0]

    def positions(self) -> int:
        """Places of the output that one kernel is applied at; an axis of unknown size counts as one."""
        return int(np.prod([size or 1 for size in self.output_shape[1:-1]], dtype=np.int64))


Rule = Callable[[Site], Part]
"""Follows channels through one call, or raises `Refused`."""

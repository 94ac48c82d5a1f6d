"""What a walk and a search ask of whoever builds nodes, on what terms, and what they get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from armopt.core.errors import ConversionError, ModelError
from armopt.core.profile import Profile
from armopt.core.records import Audit
from armopt.search.store import Entry

if TYPE_CHECKING:
    from armopt.search.nodes import NodeBuilder

TFLITE = "model.tflite"


@dataclass(frozen=True)
class Scoring:
    """What is scored of a node: all there is for a node that is judged, less for one that only has to be compared.

    Attributes:
        splits: on which the metric is computed.
        float_models: the Keras models too, not only the .tflite files.
        calibration_samples: in place of the profile's; what a file costs does not depend on them.
    """

    splits: tuple[str, ...] = ("val", "test")
    float_models: bool = True
    calibration_samples: int | None = None


FULL = Scoring()


@dataclass(frozen=True)
class Terms:
    """What nodes depend on beside source, data and task.

    Attributes:
        profile: strengths.
        overrides: settings from flags, over the profile's.
        float_io: float32 inputs and outputs in the exported files.
        scoring: what is scored of each node.
    """

    profile: Profile
    overrides: dict[str, object]
    float_io: bool
    scoring: Scoring


@dataclass(frozen=True)
class Built:
    """A finished node as the store holds it.

    Attributes:
        entry: its place in the store.
        cached: True where it was there before this run.
        metrics: the task's metric by name: `keras_val`, `keras_test`, and for leaves `int8_val`, `int8_test`.
        audit: what the .tflite holds; None for inner nodes.
        notes: what could not be done as asked.
    """

    entry: Entry
    cached: bool
    metrics: Mapping[str, float]
    audit: Audit | None
    notes: tuple[str, ...]

    @property
    def tflite(self) -> Path:
        """The leaf's exported file."""
        return self.entry.path / TFLITE


def built_or_why_not(build: Callable[[], Built]) -> Built | ModelError | ConversionError:
    """The node, or the error of a model that this can't be done to: others stay possible."""
    try:
        return build()
    except (ModelError, ConversionError) as error:
        return error


class Builder(Protocol):
    """What a walk asks of whoever builds its nodes: `NodeBuilder` here, `CrewBuilder` by several workers."""

    @property
    def at_once(self) -> int:
        """How many nodes are built side by side."""
        ...

    def expect(self, leaves: Iterable[str], all_needed: bool = False) -> None:
        """Told which leaves will be asked for, the first first, some of them or all; replaces earlier expectations."""

    def build(self, path: str) -> Built:
        """The node, finished."""
        ...

    def build_each(self, jobs: Sequence[tuple[NodeBuilder, str]]) -> list[Built | ModelError | ConversionError]:
        """Nodes of builders `apart` from the run's, in the given order; what can't be built in its place."""
        ...

    def instead(self, inner: NodeBuilder) -> Builder:
        """The same hands for the nodes of another builder on the same source and data."""
        ...

    def source_metric(self, split: str) -> float:
        """The metric of the model as given on `val` or `test`."""
        ...

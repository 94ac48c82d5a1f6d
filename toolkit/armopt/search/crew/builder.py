"""The builder of a walk that has workers: they build ahead what the walk will ask for, and the store hands it over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from armopt.core.errors import ConversionError, ModelError
from armopt.core.tree import ROOT
from armopt.search.builder import Built, built_or_why_not
from armopt.search.crew.crew import Crew
from armopt.search.nodes import NodeBuilder


class CrewBuilder:
    """What `NodeBuilder` is to a walk, with the work done by a crew.

    The root, which is only scored, is done here: meanwhile the workers load model and data.

    Args:
        inner: of the run; knows keys and reads the store.
        crew: builds.
    """

    def __init__(self, inner: NodeBuilder, crew: Crew) -> None:
        self._inner, self._crew = inner, crew

    @property
    def at_once(self) -> int:
        """As many as there are workers."""
        return max(1, self._crew.capacity)

    def expect(self, leaves: Iterable[str], all_needed: bool = False) -> None:
        """Have leaves built ahead: all of them if they are needed, else as many as there are workers."""
        expected: list[str] = []
        unfinished = 0
        for leaf in leaves:  # each may take the caller a while to name, so what is known is begun
            expected.append(leaf)
            self._crew.expect(self._inner, expected, all_needed)
            unfinished += not self._crew.is_finished(self._inner, leaf)
            if unfinished >= self._crew.capacity and not all_needed:
                break

    def build(self, path: str) -> Built:
        """The node, made by a worker or found in the store.

        Raises:
            ArmoptError: as `NodeBuilder.build` does; WorkerError where workers died of it.
        """
        return self._inner.build(ROOT) if path == ROOT else self._crew.build(self._inner, path)

    def build_each(self, jobs: Sequence[tuple[NodeBuilder, str]]) -> list[Built | ModelError | ConversionError]:
        """As `Builder` says, all at once."""
        for builder, path in jobs:
            self._crew.submit(builder, path)
        return [built_or_why_not(partial(self._crew.build, builder, path)) for builder, path in jobs]

    def instead(self, inner: NodeBuilder) -> CrewBuilder:
        """The same workers for the nodes of another builder."""
        return CrewBuilder(inner, self._crew)

    def source_metric(self, split: str) -> float:
        """The metric of the model as given on `val` or `test`."""
        return self._inner.source_metric(split)

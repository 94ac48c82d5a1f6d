from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from armopt.core.errors import ModelError, StoreError
from armopt.core.tree import ROOT
from armopt.search.builder import Built, Terms
from armopt.search.crew.builder import CrewBuilder
from armopt.search.crew.crew import Crew
from armopt.search.crew.task import NodeTask, RunSpec
from armopt.search.nodes import NodeBuilder
from armopt.search.store import Entry

RUN = RunSpec("model.keras", "data.npz", None, None, "none", None, False, "/store")


@dataclass
class TableBuilder:
    """Stands for `NodeBuilder`, which knows keys and reads the store: here the store is a set of keys."""

    strength: str = "weak"
    store: set[str] = field(default_factory=lambda: {ROOT})

    @property
    def terms(self) -> Terms:
        return cast(Terms, self.strength)

    def key(self, path: str) -> str:
        return path if path == ROOT else f"{self.strength} {path}"

    def stored(self, path: str) -> Built | None:
        found = self.key(path) in self.store
        return Built(Entry(self.key(path), Path(path), {}), True, {}, None, ()) if found else None

    def build(self, path: str) -> Built:
        assert path == ROOT  # all others are for the workers
        return cast(Built, self.stored(path))


@dataclass
class ManualPool:
    """Workers whose tasks end when the test says so."""

    store: set[str]
    capacity: int = 2
    given: list[NodeTask] = field(default_factory=list)
    open: dict[str, Future[bool]] = field(default_factory=dict)
    is_closed: bool = False

    def submit(self, task: NodeTask) -> Future[bool]:
        assert len(self.open) < self.capacity
        self.given.append(task)
        self.open[task.path] = Future()
        return self.open[task.path]

    def finish(self, path: str, error: Exception | None = None) -> None:
        future = self.open.pop(path)
        if error is not None:
            future.set_exception(error)
        else:
            self.store.add(next(task.key for task in self.given if task.path == path))
            future.set_result(True)

    def close(self) -> None:
        self.is_closed = True

    @property
    def paths(self) -> list[str]:
        return [task.path for task in self.given]


@pytest.fixture
def table() -> TableBuilder:
    return TableBuilder()


@pytest.fixture
def pool(table: TableBuilder) -> ManualPool:
    return ManualPool(table.store)


@pytest.fixture
def crew(pool: ManualPool) -> Crew:
    return Crew(pool, RUN)


def as_node_builder(table: TableBuilder) -> NodeBuilder:
    return cast(NodeBuilder, table)


def test_a_node_is_given_out_when_its_parent_is_in_the_store(table: Any, pool: ManualPool, crew: Crew) -> None:
    made = crew.submit(table, "prune/cluster/ptq")
    assert pool.paths == ["prune"]
    pool.finish("prune")
    assert pool.paths == ["prune", "prune/cluster"]
    pool.finish("prune/cluster")
    assert not made.done()
    pool.finish("prune/cluster/ptq")
    assert made.result() is True


def test_siblings_are_built_side_by_side_and_never_more_than_there_are_workers(
    table: Any, pool: ManualPool, crew: Crew
) -> None:
    crew.expect(table, ["ptq", "qat", "prune/ptq", "cluster/ptq"])
    assert pool.paths == ["ptq", "qat"]
    pool.finish("ptq")
    assert pool.paths == ["ptq", "qat", "prune"]
    pool.finish("qat")
    assert pool.paths == ["ptq", "qat", "prune", "cluster"]


def test_what_is_asked_for_goes_ahead_of_what_is_expected(table: Any, pool: ManualPool, crew: Crew) -> None:
    crew.expect(table, ["ptq", "qat", "prune/ptq", "cluster/ptq"])
    crew.submit(table, "cluster/ptq")
    pool.finish("ptq")
    assert pool.paths == ["ptq", "qat", "cluster"]


def test_a_shared_parent_is_built_once(table: Any, pool: ManualPool, crew: Crew) -> None:
    crew.expect(table, ["prune/ptq", "prune/pqat"])
    assert pool.paths == ["prune"]
    pool.finish("prune")
    assert pool.paths == ["prune", "prune/ptq", "prune/pqat"]


def test_nodes_of_other_strengths_are_other_nodes(table: Any, pool: ManualPool, crew: Crew) -> None:
    strong: Any = TableBuilder("strong", table.store)
    crew.submit(table, "prune")
    crew.submit(strong, "prune")
    assert [(task.path, task.terms) for task in pool.given] == [("prune", "weak"), ("prune", "strong")]


def test_what_the_store_has_is_not_built_again(table: Any, pool: ManualPool, crew: Crew) -> None:
    table.store.add("weak prune")
    made = crew.submit(table, "prune/ptq")
    assert pool.paths == ["prune/ptq"]
    assert crew.submit(table, "prune").result() is False
    assert not made.done()


def test_an_expectation_that_nobody_began_is_dropped_for_the_next(table: Any, pool: ManualPool, crew: Crew) -> None:
    crew.expect(table, ["prune/ptq", "cluster/ptq", "qat"])
    crew.expect(table, ["ptq"])
    assert pool.paths == ["prune", "cluster"]  # these had begun, and go on
    pool.finish("prune")
    pool.finish("cluster")
    assert pool.paths == ["prune", "cluster", "ptq"]


def test_a_node_that_failed_says_so_to_whoever_waits_for_what_is_below(
    table: Any, pool: ManualPool, crew: Crew
) -> None:
    below = crew.submit(table, "prune/cluster/ptq")
    other = crew.submit(table, "qat")
    pool.finish("prune", ModelError("training diverged"))
    with pytest.raises(ModelError, match="diverged"):
        below.result()
    with pytest.raises(ModelError, match="diverged"):  # one that comes later
        crew.submit(table, "prune/ptq").result()
    pool.finish("qat")
    assert other.result()
    assert pool.paths == ["prune", "qat"]


def test_a_node_that_a_worker_put_into_another_store_is_an_error(table: Any, pool: ManualPool, crew: Crew) -> None:
    made = crew.submit(table, "ptq")
    pool.open.pop("ptq").set_result(True)
    assert made.result()
    with pytest.raises(StoreError, match="same folder"):
        crew.build(table, "ptq")


def test_what_a_worker_made_is_not_said_to_come_from_the_store(table: Any, pool: ManualPool, crew: Crew) -> None:
    builder = CrewBuilder(as_node_builder(table), crew)
    table.store.add("weak qat")
    builder.expect(["ptq"])
    pool.finish("ptq")
    assert builder.build("ptq").cached is False
    assert builder.build("qat").cached is True


def test_as_many_leaves_are_expected_as_there_are_workers(table: Any, pool: ManualPool, crew: Crew) -> None:
    builder = CrewBuilder(as_node_builder(table), crew)
    leaves = iter(["ptq", "qat", "prune/ptq", "cluster/ptq"])
    builder.expect(leaves)
    assert pool.paths == ["ptq", "qat"]
    assert list(leaves) == ["prune/ptq", "cluster/ptq"]  # nobody had to find out whether these may help


def test_leaves_that_are_finished_make_room_for_further_ones(table: Any, pool: ManualPool, crew: Crew) -> None:
    builder = CrewBuilder(as_node_builder(table), crew)
    table.store.add("weak ptq")
    builder.expect(iter(["ptq", "qat", "prune/ptq", "cluster/ptq"]))
    assert pool.paths == ["qat", "prune"]


def test_all_leaves_are_expected_where_all_are_needed(table: Any, pool: ManualPool, crew: Crew) -> None:
    leaves = iter(["ptq", "qat", "prune/ptq", "cluster/ptq"])
    CrewBuilder(as_node_builder(table), crew).expect(leaves, all_needed=True)
    assert list(leaves) == []


def test_where_all_are_needed_the_longest_chain_of_training_comes_first(
    table: Any, pool: ManualPool, crew: Crew
) -> None:
    leaves = ["qat", "ptq", "cluster/cqat", "prune/ptq", "prune/pqat", "prune/cluster/ptq", "prune/cluster/pcqat"]
    crew.expect(table, leaves, all_needed=True)
    while pool.open:
        pool.finish(next(iter(pool.open)))
    assert pool.paths == [
        "prune", "cluster",  # three and two stages to come
        "prune/cluster", "qat",  # two, and the first of those with one
        "cluster/cqat", "prune/pqat", "prune/cluster/pcqat", "ptq", "prune/ptq", "prune/cluster/ptq",
    ]  # fmt: skip


def test_closing_cancels_what_was_not_begun(table: Any, pool: ManualPool, crew: Crew) -> None:
    waiting = crew.submit(table, "prune/ptq")
    crew.close()
    assert pool.is_closed
    assert waiting.cancelled()

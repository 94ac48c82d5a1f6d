from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from armopt.catalog.devices import find_device
from armopt.catalog.profiles import find_profile
from armopt.core.errors import ConversionError, ModelError
from armopt.core.events import Event, NodeFinished
from armopt.core.records import Audit, Latency, Measurement, Metric
from armopt.core.target import Target
from armopt.core.tree import Tree
from armopt.search.builder import Built
from armopt.search.store import Entry
from armopt.search.walk import Walk, Walked

# What each leaf of the table "weighs" (gzip bytes) and scores (val, test); inner nodes have nothing to show.
FIGURES = {
    "ptq": (400, 0.90, 0.90),
    "qat": (400, 0.93, 0.93),
    "prune/ptq": (300, 0.90, 0.90),
    "cluster/ptq": (290, 0.91, 0.91),
    "prune/pqat": (300, 0.92, 0.92),
    "cluster/cqat": (290, 0.93, 0.93),
    "prune/cluster/ptq": (240, 0.89, 0.89),
    "prune/cluster/pcqat": (240, 0.92, 0.92),
}
SOURCE = 0.94


@dataclass
class TableBuilder:
    """Stands for `NodeBuilder`: nodes come from a table, so that decisions can be seen apart from training."""

    figures: Mapping[str, tuple[int, float, float]] = field(default_factory=lambda: dict(FIGURES))
    broken: Mapping[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    expected: list[list[str]] = field(default_factory=list)

    def expect(self, leaves: Iterable[str], all_needed: bool = False) -> None:
        self.expected.append(list(leaves))

    def build(self, path: str) -> Built:
        self.asked.append(path)
        if path in self.broken:
            raise self.broken[path]
        size, val, test = self.figures.get(path, (0, SOURCE, SOURCE))
        metrics = {"keras_val": val, "keras_test": test, "int8_val": val, "int8_test": test}
        audit = None
        if size:
            audit = Audit(sha256=path, size_bytes=2 * size, gz_bytes=size, sparsity=0.5, max_codes=16, layers=())
        return Built(Entry(path, Path(path), {"seconds": 1.0}), False, metrics, audit, ())

    def source_metric(self, split: str) -> float:
        return SOURCE


def measured(built: Built) -> Measurement:
    return Measurement(
        device="pi4", runner="qemu", evidence="modelled", runtime="litert 2.1.6", threads=1, freq_mhz=1800,
        latency_ms=Latency(p50=5.0), interval_ms=(4.0, 6.0), instructions=16_000_000, seconds=1.0,
    )  # fmt: skip


def walk(target: Target, until: Any = "first", **builder: Any) -> tuple[Walked, TableBuilder, list[Event]]:
    events: list[Event] = []
    tree = Tree(find_profile("default").tree)
    table = TableBuilder(**builder)
    walker = Walk(tree, table, measured, find_device("pi4"), target, Metric(name="accuracy"), events.append)
    return walker.run(until), table, events


def test_the_first_leaf_that_meets_the_target_ends_the_walk() -> None:
    found, table, _ = walk(Target(max_gz_bytes=310))
    assert (found.verdict, found.chosen) == ("met", "prune/ptq")
    assert table.asked == ["float", "ptq", "prune", "prune/ptq"]


def test_every_node_that_was_not_built_says_why() -> None:
    found, _, _ = walk(Target(max_gz_bytes=310))
    unbuilt = [node for node in found.nodes.values() if node.status == "skipped"]
    assert {node.path for node in unbuilt} == set(found.nodes) - {"float", "ptq", "prune", "prune/ptq"}
    assert all(node.reason for node in unbuilt)
    assert "can't help size" in found.nodes["qat"].reason


def test_a_latency_that_no_technique_can_move_is_missed_after_one_leaf_with_nothing_trained() -> None:
    found, table, _ = walk(Target(max_latency_ms=1.0))
    assert (found.verdict, found.chosen) == ("missed", None)
    assert table.asked == ["float", "ptq"]
    assert all("can't help latency" in found.nodes[path].reason for path in FIGURES if path != "ptq")


def test_a_target_within_the_interval_is_inconclusive() -> None:
    found, _, _ = walk(Target(max_latency_ms=5.0))
    assert found.verdict == "inconclusive"
    assert "straddles" in found.reason


def test_a_target_that_no_leaf_meets_is_missed_and_says_which_came_last() -> None:
    found, _, _ = walk(Target(max_gz_bytes=100))
    assert (found.verdict, found.chosen) == ("missed", None)
    assert "prune/cluster/pcqat" in found.reason


def test_accuracy_and_size_together_are_found_deeper_in_the_tree() -> None:
    found, _, _ = walk(Target(max_gz_bytes=250, max_drop=0.03))
    assert found.chosen == "prune/cluster/pcqat"
    assert found.nodes["prune/cluster/ptq"].status == "missed"


def test_without_a_target_the_first_leaf_is_chosen_and_there_is_no_verdict() -> None:
    found, table, _ = walk(Target())
    assert (found.verdict, found.chosen) == (None, "ptq")
    assert table.asked == ["float", "ptq"]


def test_best_builds_every_node_and_keeps_what_no_other_beats() -> None:
    found, table, _ = walk(Target(max_gz_bytes=310, max_drop=0.05), "best")
    assert set(table.asked) == set(found.nodes)
    assert found.chosen == "prune/cluster/pcqat"
    assert set(found.pareto) == {"prune/cluster/pcqat", "cluster/cqat"}


def test_a_leaf_that_meets_the_target_on_test_but_not_on_val_is_not_taken_for_its_luck() -> None:
    lucky = {**FIGURES, "ptq": (400, 0.80, 0.93)}
    found, _, _ = walk(Target(max_drop=0.02), figures=lucky)
    assert found.nodes["ptq"].status == "missed"
    assert "on the val split" in found.nodes["ptq"].reason
    assert found.chosen == "qat"


def test_a_leaf_that_meets_the_target_on_val_but_not_on_test_is_missed() -> None:
    unlucky = {**FIGURES, "ptq": (400, 0.94, 0.80)}
    found, _, _ = walk(Target(max_drop=0.02), figures=unlucky)
    assert found.nodes["ptq"].status == "missed"
    assert found.chosen == "qat"


def test_a_failed_leaf_leaves_its_siblings_possible() -> None:
    found, _, _ = walk(Target(max_gz_bytes=310), broken={"prune/ptq": ConversionError("the converter died")})
    assert found.nodes["prune/ptq"].status == "failed"
    assert found.chosen == "cluster/ptq"


def test_below_a_failed_node_everything_is_skipped_and_says_so() -> None:
    found, table, _ = walk(Target(), "best", broken={"prune": ModelError("training diverged")})
    below = [node for path, node in found.nodes.items() if path.startswith("prune/")]
    assert all(node.status == "skipped" and node.reason for node in below)
    assert not any(path.startswith("prune/") for path in table.asked)
    assert found.chosen is not None


def test_where_every_leaf_fails_the_first_reason_is_raised() -> None:
    broken = {path: ConversionError(f"{path} died") for path in FIGURES}
    with pytest.raises(ConversionError, match="ptq died"):
        walk(Target(), "best", broken=broken)


def test_every_node_is_told_exactly_once() -> None:
    found, _, events = walk(Target(max_gz_bytes=310))
    told = [event.node.path for event in events if isinstance(event, NodeFinished)]
    assert sorted(told) == sorted(found.nodes)


def test_an_inner_node_is_told_before_its_children() -> None:
    _, _, events = walk(Target(), "best")
    told = [event.node.path for event in events if isinstance(event, NodeFinished)]
    assert all(told.index(path.rpartition("/")[0]) < told.index(path) for path in told if "/" in path)


def test_best_expects_every_leaf_from_the_start() -> None:
    _, table, _ = walk(Target(), "best")
    (expected,) = table.expected
    assert sorted(expected) == sorted(FIGURES)
    assert [path for path in table.asked if path in FIGURES] == expected


def test_after_each_leaf_that_missed_the_later_ones_that_may_help_are_expected() -> None:
    _, table, _ = walk(Target(max_gz_bytes=250, max_drop=0.03))
    leaves = [path for path in table.asked if path in FIGURES]
    assert len(table.expected) == len(leaves) - 1
    assert all(expected[0] == leaf for expected, leaf in zip(table.expected, leaves[1:], strict=True))


def test_what_is_hopeless_is_not_expected() -> None:
    _, table, _ = walk(Target(max_latency_ms=1.0))
    assert table.expected == [[]]

"""Walks the tree until the target is met: build, measure, judge, tell; or builds all of it and keeps what is best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from armopt.core.device import Kind
from armopt.core.errors import ArmoptError, ConversionError, ModelError
from armopt.core.events import Listener, NodeFinished
from armopt.core.gate import Judgement, Observed, judge
from armopt.core.records import Accuracy, Measurement, Metric, Node, NodeStatus, VerdictName
from armopt.core.stages import TRAINING_STAGES
from armopt.core.target import Target
from armopt.core.tree import ROOT, Tree, ancestors_of
from armopt.search.builder import Builder, Built
from armopt.search.choose import Candidate, best, pareto
from armopt.search.prospects import why_hopeless

Measure = Callable[[Built], Measurement]
WhyNot = Callable[[str], str | None]


def nothing_known(path: str) -> None:
    """Stands for an outlook where nothing is known ahead of building."""


@dataclass
class Walked:
    """What the walk found.

    Attributes:
        nodes: every node of the tree, in tree order, waiting ones too.
        verdict: over all leaves; None without a target.
        chosen: path of the node to deliver.
        reason: why, in a sentence.
        pareto: leaves that no other beats.
        built: finished nodes by path.
        errors: why nodes failed, by path.
        measured: leaves on the device, by path, in the order of building.
    """

    nodes: dict[str, Node]
    verdict: VerdictName | None = None
    chosen: str | None = None
    reason: str = ""
    pareto: tuple[str, ...] = ()
    built: dict[str, Built] = field(default_factory=dict)
    errors: dict[str, ArmoptError] = field(default_factory=dict)
    measured: dict[str, Measurement] = field(default_factory=dict)


class Walk:
    """One walk over one tree.

    Args:
        tree: its nodes.
        builder: builds them.
        measure: measures a built leaf on the device.
        device: its kind, for what can help there.
        target: what to meet.
        metric: the task's.
        listener: told when nodes finish.
        why_not: says before a leaf is trained why it can't meet the target; None where it may.
        at_once: leaves that may be measured side by side, while others are built, where every leaf is wanted.
    """

    def __init__(
        self,
        tree: Tree,
        builder: Builder,
        measure: Measure,
        device: Kind,
        target: Target,
        metric: Metric,
        listener: Listener,
        why_not: WhyNot = nothing_known,
        at_once: int = 1,
    ) -> None:
        self._why_not, self._at_once = why_not, at_once
        self._tree, self._builder, self._measure = tree, builder, measure
        self._device, self._target, self._metric, self._listener = device, target, metric, listener
        self._found = Walked({path: Node(path=path, status="waiting") for path in tree.paths})
        self._on_val: dict[str, Judgement] = {}
        self._missed_by_ptq: frozenset[str] = frozenset()

    def run(self, until: Literal["first", "best"]) -> Walked:
        """Walk; `first` stops at the first leaf that meets the target, `best` builds every node.

        Raises:
            ArmoptError: the source can't be scored, the device fails, a file breaks a promise, or every leaf failed.
        """
        self._finish_inner(ROOT)
        order = list(self._tree.cheapest_first(TRAINING_STAGES))
        if until == "best":
            self._builder.expect(self._promising(order), all_needed=True)
            self._every_leaf(order)
            order = []
        for number, path in enumerate(order, 1):
            if self._found.chosen is None and self._skip_hopeless(path):
                continue
            if self._found.chosen is not None:
                self._skip(
                    path,
                    f"not needed: '{self._found.chosen}' {'is built' if self._target.is_empty else 'met the target'}",
                )
                continue
            built = self._build_leaf(path)
            if built is not None:
                self._finish_leaf(path, built, self._measure(built))
            if self._is_candidate(path):
                self._found.chosen = path
            else:
                self._builder.expect(self._promising(order[number:]))
        self._settle(until)
        return self._found

    def _promising(self, leaves: list[str]) -> Iterator[str]:
        """Those that may meet the target. Looked at one by one: drafts are measured, and widths settled, as it goes."""
        return (leaf for leaf in leaves if not self._why_hopeless(leaf) and not self._why_not_trained(leaf))

    def _every_leaf(self, order: list[str]) -> None:
        """Build all leaves; while one is built, those before it are measured."""
        boards = ThreadPoolExecutor(self._at_once, "measure")
        measured: dict[str, tuple[Built, Future[Measurement]]] = {}
        try:
            for path in order:
                built = self._build_leaf(path)
                if built is None:
                    continue
                if self._at_once == 1:  # in turn, and told of in turn
                    self._finish_leaf(path, built, self._measure(built))
                else:
                    measured[path] = built, boards.submit(self._measure, built)
            for path, (built, found) in measured.items():
                self._finish_leaf(path, built, found.result())
        finally:  # after an error or Ctrl-C nothing more is begun, and what runs is the caller's to end
            boards.shutdown(wait=False, cancel_futures=True)

    def _build_leaf(self, path: str) -> Built | None:
        """The leaf, ready to be measured; None where it was skipped or failed, which is told."""
        reason = self._why_not_trained(path)
        if reason is not None:
            self._skip(path, reason)
            return None
        for ancestor in ancestors_of(path):
            if self._found.nodes[ancestor].status == "waiting":
                self._finish_inner(ancestor)
            if self._found.nodes[ancestor].status == "failed":
                self._skip(path, f"'{ancestor}' failed")
                return None
        return self._build(path)

    def _finish_leaf(self, path: str, built: Built, measured: Measurement) -> None:
        """Judge a leaf by what was measured."""
        on_test, on_val = self._judge(built, measured, "test"), self._judge(built, measured, "val")
        self._on_val[path], self._found.measured[path] = on_val, measured
        if path == "ptq":
            self._missed_by_ptq = on_val.missed | on_test.missed
        status, reason = _status(on_test, on_val)
        self._tell(_node(path, status, built, reason, measured), built.cached)

    def _finish_inner(self, path: str) -> None:
        built = self._build(path)
        if built is not None:
            self._tell(_node(path, "trained" if path != ROOT else "built", built, "", None), built.cached)

    def _build(self, path: str) -> Built | None:
        """The node, or None where it failed in a way that leaves its siblings possible."""
        try:
            built = self._builder.build(path)
        except (ModelError, ConversionError) as error:
            if path == ROOT:
                raise
            self._found.errors[path] = error
            self._tell(Node(path=path, status="failed", reason=str(error)), False)
            return None
        self._found.built[path] = built
        return built

    def _judge(self, built: Built, measured: Measurement, split: str) -> Judgement:
        observed = Observed.by(
            measured,
            metric=built.metrics[f"int8_{split}"],
            source_metric=self._builder.source_metric(split),
            gz_bytes=built.audit.gz_bytes if built.audit else None,
        )
        return judge(self._target, observed, self._metric)

    def _is_candidate(self, path: str) -> bool:
        return self._found.nodes[path].status == ("built" if self._target.is_empty else "met")

    def _skip_hopeless(self, path: str) -> bool:
        reason = self._why_hopeless(path)
        if reason is not None:
            self._skip(path, reason)
        return reason is not None

    def _why_not_trained(self, path: str) -> str | None:
        return self._why_not(path) if any(stage in TRAINING_STAGES for stage in path.split("/")) else None

    def _why_hopeless(self, path: str) -> str | None:
        return why_hopeless(self._device, path, self._missed_by_ptq, TRAINING_STAGES) if self._missed_by_ptq else None

    def _skip(self, path: str, reason: str) -> None:
        self._tell(Node(path=path, status="skipped", reason=reason), False)

    def _tell(self, node: Node, cached: bool) -> None:
        self._found.nodes[node.path] = node
        self._listener(NodeFinished(node, cached))

    def _settle(self, until: str) -> None:
        """Choose among the candidates, and put the verdict of all leaves into one."""
        found = self._found
        for path, node in list(found.nodes.items()):
            if node.status == "waiting":  # an inner node all of whose leaves were skipped
                self._skip(path, "none of its leaves was built")
        leaves = [found.nodes[path] for path in self._tree.leaves]
        if found.errors and all(node.status in ("failed", "skipped") for node in leaves):
            raise next(iter(found.errors.values()))
        figures = [self._figures(node) for node in leaves if node.path in found.built]
        found.pareto = pareto(figures, self._metric)
        if until == "best":
            candidates = [c for c in figures if self._is_candidate(c.path)]
            asked = self._target.min_accuracy is not None or self._target.max_drop is not None
            winner = best(candidates, self._metric, self._builder.source_metric("val"), asked)
            found.chosen = winner.path if winner else None
        found.verdict, found.reason = self._verdict(leaves)

    def _figures(self, node: Node) -> Candidate:
        built = self._found.built[node.path]
        assert built.audit is not None
        known = node.latency_ms is not None and node.interval_ms is not None
        time_ms = node.latency_ms.p50 if node.latency_ms and known else None
        return Candidate(node.path, built.metrics["int8_val"], built.audit.gz_bytes, time_ms)

    def _verdict(self, leaves: list[Node]) -> tuple[VerdictName | None, str]:
        if self._target.is_empty:
            return None, "no target was given"
        if self._found.chosen is not None:
            return "met", self._found.nodes[self._found.chosen].reason
        order: tuple[VerdictName, ...] = ("unstable", "inconclusive")
        for verdict in order:
            undecided = [node for node in leaves if node.status == verdict]
            if undecided:
                return verdict, f"'{undecided[0].path}': {undecided[0].reason}"
        built = [node for node in leaves if node.status == "missed"]
        return (
            "missed",
            f"no node meets the target; '{built[-1].path}': {built[-1].reason}" if built else "no node was built",
        )


def _status(on_test: Judgement, on_val: Judgement) -> tuple[NodeStatus, str]:
    """Status by the test split; a node that val would not have chosen is not taken for its luck on test."""
    if on_test.verdict is None:
        return "built", ""
    if on_test.verdict == "met" and on_val.verdict != "met":
        return on_val.verdict or "missed", f"on the val split: {on_val.reason}"
    return on_test.verdict, on_test.reason


def _node(path: str, status: NodeStatus, built: Built, reason: str, measured: Measurement | None) -> Node:
    audit, metrics = built.audit, built.metrics
    notes = "; ".join(built.notes)
    if measured and measured.outputs_equal is False:
        notes = "; ".join(
            part for part in (notes, f"outputs differ on the device: {measured.output_difference}") if part
        )
    return Node(
        path=path,
        status=status,
        reason="; ".join(part for part in (reason, notes) if part),
        accuracy=Accuracy(keras=metrics["keras_test"], int8=metrics.get("int8_test")),
        size_bytes=audit.size_bytes if audit else None,
        gz_bytes=audit.gz_bytes if audit else None,
        sparsity=round(audit.sparsity, 6) if audit else None,
        max_codes=audit.max_codes if audit else None,
        latency_ms=measured.latency_ms if measured else None,
        interval_ms=measured.interval_ms if measured else None,
        instructions=measured.instructions if measured else None,
        npu=measured.npu if measured else None,
        evidence=measured.evidence if measured else None,
        seconds=built.entry.seconds,
        artifact=str(built.tflite) if audit else None,
    )

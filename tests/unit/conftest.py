from __future__ import annotations

import pytest

from armopt.core.events import Event, NodeFinished, NodeStarted, Note, RunFinished, RunStarted, TrainingStep
from armopt.core.records import Accuracy, Latency, Metric, Node, NodeStatus, Result

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[2J"


def _leaf(path: str, status: NodeStatus, int8: float, gz_bytes: int, reason: str) -> Node:
    return Node(
        path=path,
        status=status,
        reason=reason,
        accuracy=Accuracy(keras=0.98, int8=int8),
        size_bytes=2 * gz_bytes,
        gz_bytes=gz_bytes,
        sparsity=0.5,
        max_codes=255,
        latency_ms=Latency(p50=0.2071),
        interval_ms=(0.17, 0.2612),
        instructions=1_234_567,
        evidence="modelled",
        seconds=3.4,
        artifact=f"store/{path}/model.tflite",
    )


@pytest.fixture
def result() -> Result:
    """A run in which one node of each fate occurs."""
    nodes = (
        Node(path="float", status="built", accuracy=Accuracy(keras=0.9861)),
        _leaf("ptq", "missed", 0.9833, 31_022, "31,022 bytes (gzip) over 20,000"),
        Node(path="qat", status="skipped", reason="can't help size on pi4: it can only win back accuracy"),
        Node(path="prune", status="trained", accuracy=Accuracy(keras=0.98), seconds=12.0),
        Node(path="prune/pqat", status="failed", reason=f"the converter refused {HOSTILE}it"),
        _leaf("prune/cluster/ptq", "met", 0.975, 9_123, "9,123 bytes (gzip) within 20,000"),
        Node(path="prune/cluster/pcqat", status="skipped", reason="not needed: 'prune/cluster/ptq' met the target"),
        Node(path="cluster/ptq", status="skipped", reason="not needed: 'prune/cluster/ptq' met the target"),
    )
    return Result(
        armopt_version="0.1.0",
        device="pi4",
        runner="qemu",
        evidence="modelled",
        model="digits",
        data="digits",
        metric=Metric(name="accuracy"),
        source_accuracy=0.9861,
        target={"max_gz_bytes": 20_000},
        verdict="met",
        reason="9,123 bytes (gzip) within 20,000",
        chosen="prune/cluster/ptq",
        nodes=nodes,
        notes=(f"labels are {HOSTILE}integers",),
        out="armopt-out/digits-pi4",
        seconds=33.0,
    )


@pytest.fixture
def events(result: Result) -> list[Event]:
    """The events of that run."""
    paths = tuple(node.path for node in result.nodes)
    leaves = tuple(node.path for node in result.nodes if node.gz_bytes)
    told: list[Event] = [RunStarted(paths, leaves, "pi4", "qemu", "modelled", "at most 20,000 bytes (gzip)")]
    for node in result.nodes:
        if node.status != "skipped":
            told.append(NodeStarted(node.path, "training, 50% zeros"))
        if node.status == "trained":
            told += [TrainingStep(node.path, step, 300, 1 + step // 150, 2, 0.25) for step in range(300)]
        told.append(NodeFinished(node, cached=node.path == "ptq"))
    return [*told, Note(f"a note {HOSTILE}"), RunFinished(result)]

"""Where the time of real models goes, on the real emulator: every operator of the graph, with its kernel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from tflite_graphs import Graph, Tensor
from tflite_parts import Declared, Dtype

from armopt.catalog.devices import find_device
from armopt.compress.graph_file import read_operators
from armopt.core.records import OperatorTime
from armopt.latency.model import predict
from armopt.latency.operators import operator_times
from armopt.runners.base import Job, make_runner
from armopt.runners.local import LocalRunner
from armopt.runners.samples import random_inputs

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]

FILES: dict[str, Dtype] = {"int8": "int8", "fp32": "fp32"}
# What the name of each operator's kernel has in it: XNNPACK's, or the runtime's own.
KERNELS = {
    "CONV_2D": ("gemm", "ruy|Gem"),
    "DEPTHWISE_CONV_2D": ("dwconv", "Depthwise"),
    "HARD_SWISH": ("vhswish", "HardSwish"),
    "ADD": ("vadd", "Add"),
    "MEAN": ("rdsum|rsum", "Mean|Reduce"),
    "FULLY_CONNECTED": ("gemm", "ruy|Gem|Fully"),
    "SOFTMAX": ("expminus", "Softmax"),
}


def mean(graph: Graph, x: Tensor) -> Tensor:
    """Mean over height and width."""
    axes = graph._declare(Declared((2,), schema.TensorType.INT32, content=lambda _: np.array([1, 2], np.int32)))
    options = schema.ReducerOptionsT(keepDims=False)
    code = schema.BuiltinOperator.MEAN
    return graph._add_operator(code, [x.index, axes], (1, x.shape[3]), x.values, options)


def content(dtype: Dtype) -> bytes:
    graph = Graph(dtype, (1, 32, 32, 3))
    x = first = graph.convolution(graph.input, 16, 3, 2, "relu6")
    x = graph.depthwise(x, 3, 1, "relu6")
    x = graph.hard_swish(x)
    x = graph.convolution(x, 16)
    x = graph.add(first, x, "relu")
    x = graph.convolution(x, 32, activation="relu")
    x = graph.fully_connected(mean(graph, x), 10)
    return graph.content(graph.softmax(x))


@pytest.fixture(scope="module")
def profiles(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, bool], tuple[tuple[OperatorTime, ...], float]]:
    """Rows and the whole latency of each file, by its name and whether XNNPACK ran."""
    folder, board = tmp_path_factory.mktemp("graphs"), find_device("pi4")
    paths = {name: folder / f"{name}.tflite" for name in FILES}
    for name, path in paths.items():
        path.write_bytes(content(FILES[name]))
    with closing(LocalRunner(print)) as host:
        inputs = {name: random_inputs(host.describe(path), count=1) for name, path in paths.items()}
    which = [(name, delegate) for name in paths for delegate in (True, False)]
    jobs = [Job(paths[name], inputs[name], count=True, delegate=delegate) for name, delegate in which]
    with closing(make_runner("qemu", board, say=print)) as runner:
        results = runner.run(jobs)
    found = {}
    for (name, delegate), result in zip(which, results, strict=True):
        assert result.counts is not None
        prediction = predict(result.counts, board)
        rows = operator_times(result.counts, prediction.parts, read_operators(paths[name]), board)
        found[name, delegate] = (rows, prediction.p50_ms)
    return found


@pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])
@pytest.mark.parametrize("name", FILES)
def test_every_operator_of_the_graph_has_its_row_and_its_kernel(
    profiles: dict[tuple[str, bool], tuple[tuple[OperatorTime, ...], float]], name: str, delegate: bool
) -> None:
    rows, p50_ms = profiles[name, delegate]
    kinds = ["CONV_2D", "DEPTHWISE_CONV_2D", "HARD_SWISH", "CONV_2D", "ADD", "CONV_2D", "MEAN", "FULLY_CONNECTED"]
    assert [row.kind for row in rows] == [*kinds, "SOFTMAX", "runtime"]
    assert sum(row.latency_ms for row in rows) == pytest.approx(p50_ms, rel=0.005)
    for row in rows[:-1]:
        names = KERNELS[row.kind][0 if row.run_by == "xnnpack" else 1].split("|")
        assert any(part in (row.kernel or "") for part in names), f"{row.kind} is not computed by {row.kernel}"
        assert row.latency_ms > 0 and row.bound and row.advice
    ran_by = {row.run_by for row in rows[:-1]}
    assert ran_by == ({"runtime"} if not delegate else {"xnnpack"} if name == "fp32" else {"xnnpack", "runtime"})
    assert rows[-1].share < 0.1


def test_what_xnnpack_leaves_to_the_runtime_is_told(
    profiles: dict[tuple[str, bool], tuple[tuple[OperatorTime, ...], float]],
) -> None:
    swish = next(row for row in profiles["int8", True][0] if row.kind == "HARD_SWISH")
    assert swish.run_by == "runtime" and "XNNPACK does not take it in int8" in swish.advice


def test_the_command_prints_and_draws_it(tmp_path: Path) -> None:
    before, after, picture = tmp_path / "before.tflite", tmp_path / "after.tflite", tmp_path / "chart.png"
    before.write_bytes(content("fp32"))
    after.write_bytes(content("int8"))
    command = [sys.executable, "-m", "armopt", "measure", str(before), "--device", "pi4"]
    done = subprocess.run(
        [*command, "--by-operator", "--plot", str(picture)], capture_output=True, text=True, check=True
    )
    for text in ("HARD_SWISH", "limited by", "what would help:", "runtime"):
        assert text in done.stdout
    assert picture.stat().st_size > 10_000
    options = ["--compare", str(after), "--emulate", "--threads", "1,4", "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert sum(row["latency_ms"] for row in told["operators"]) == pytest.approx(told["latency_ms"]["p50"], rel=0.005)
    assert [each["threads"] for each in told["by_threads"]] == [1, 4]
    other = told["compared"]
    assert sum(row["latency_ms"] for row in other["operators"]) == pytest.approx(other["latency_ms"]["p50"], rel=0.005)

"""Runs that never were, with everything that the page shows, for its tests."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from armopt.core.densities import Density, KernelDensities
from armopt.core.records import Accuracy, Latency, Measurement, Metric, Node, OperatorTime, Result, SustainedPoint
from armopt.core.target import Target
from armopt.core.tree import stage_of

# A name that would run, close, load or turn round what it stands in, and one that is too long for any place.
HOSTILE = "<script>window.owned=1</script>]]>\"'><img src=x onerror=window.owned=1>\u202e{{7*7}}</style>&amp;"
LONG = "x" * 10_000

TWELVE = (
    "float", "ptq", "qat", "prune", "cluster", "prune/ptq", "prune/pqat", "prune/cluster", "cluster/ptq",
    "cluster/cqat", "prune/cluster/ptq", "prune/cluster/pcqat",
)  # fmt: skip
_LEAVES = ("ptq", "qat", "pqat", "cqat", "pcqat")


def operators(count: int = 20, factor: float = 1.0) -> tuple[OperatorTime, ...]:
    """Operators of a network, the last row the runtime's."""
    draw = random.Random(count)
    rows = []
    for index in range(count):
        ms = factor * draw.uniform(0.001, 0.15)
        row = {
            "index": index, "kind": "CONV_2D" if index % 2 else "DEPTHWISE_CONV_2D", "name": f"layer{index}",
            "shape": (1, 16, 16, 32), "macs": 1000, "kernel": "igemm", "run_by": "xnnpack", "latency_ms": ms,
            "share": ms, "core_ms": ms, "cache_ms": 0.0, "memory_ms": 0.0, "overhead_ms": 0.0,
            "instructions": int(1e6 * ms), "bound": "multiply", "advice": "fewer channels" if index % 3 else "",
        }  # fmt: skip
        rows.append(OperatorTime.model_validate(row))
    runtime = {"index": None, "kind": "runtime", "macs": None, "kernel": None, "run_by": None, "latency_ms": 0.004}
    zero = {"share": 0.01, "core_ms": 0.004, "cache_ms": 0.0, "memory_ms": 0.0, "overhead_ms": 0.0, "instructions": 400}
    return (*rows, OperatorTime.model_validate({**runtime, **zero}))


def measurement(**more: Any) -> Measurement:
    """Of an emulated board, or with `timed` of a real one."""
    known: dict[str, Any] = {
        "device": "pi4", "runner": "qemu", "evidence": "modelled", "runtime": "litert 2.1.6", "threads": 1,
        "freq_mhz": 1800, "latency_ms": Latency(p50=1.3063513), "interval_ms": (1.17571617, 1.45135630),
        "instructions": 3_044_136, "operators": operators(), "seconds": 9.0, "environment": {"emulator": "qemu 7.2"},
    }  # fmt: skip
    return Measurement(**{**known, **more})


def timed(rounds: int = 12, each: int = 40) -> dict[str, Any]:
    """What a real board adds to a measurement."""
    draw = random.Random(7)
    raw = tuple(tuple(round(1.3 * draw.lognormvariate(0, 0.02), 5) for _ in range(each)) for _ in range(rounds))
    return {
        "runner": "ssh", "evidence": "measured", "host": "mypi", "rounds": raw, "stable": True, "throttled": False,
        "latency_ms": Latency(p50=1.301, p90=1.33, p95=1.345, max=1.41, runs=rounds * each), "load_ms": 12.5,
        "round_temperature_c": tuple(50.0 + n for n in range(rounds)), "round_mhz": (1800.0,) * rounds,
        "temperature_c": (48.2, 61.7), "peak_memory_kib": 41_000, "operators": None,
        "sustained": tuple(
            SustainedPoint(seconds=10 * n, p50_ms=1.3 + n / 100, p95_ms=1.4, runs=9, mhz=1800 - n, temperature_c=50 + n)
            for n in range(1, 30)
        ),
    }  # fmt: skip


def node(number: int, path: str, **more: Any) -> Node:
    """A node of a run: trained, or a leaf with all of its figures."""
    if path == "float":
        return Node(path=path, status="built", accuracy=Accuracy(keras=0.98333333), **more)
    if stage_of(path) not in _LEAVES:
        return Node(path=path, status="trained", work="2 epochs", accuracy=Accuracy(keras=0.99), seconds=20.0, **more)
    gz_bytes = 112_345 - 4_321 * number
    known: dict[str, Any] = {
        "path": path, "status": "met" if gz_bytes < 90_000 else "missed", "reason": f"{gz_bytes:,} bytes (gzip)",
        "work": "quantize after training", "accuracy": Accuracy(keras=0.99, int8=0.97 + number / 600, device=0.98),
        "size_bytes": 124_992, "gz_bytes": gz_bytes, "sparsity": 0.05 * number / 12, "max_codes": 255 - number,
        "latency_ms": Latency(p50=1.3063513 - number / 40), "interval_ms": (1.1 - number / 40, 1.5 - number / 40),
        "instructions": 3_044_136 - number, "evidence": "modelled", "seconds": 2.0, "artifact": f"/store/{number}",
    }  # fmt: skip
    return Node(**{**known, **more})


def run(**more: Any) -> Result:
    """A run that built all twelve nodes."""
    known: dict[str, Any] = {
        "armopt_version": "0.1.0", "device": "pi4", "runner": "qemu", "evidence": "modelled", "model": "digits_ds_cnn",
        "data": "digits", "metric": Metric(name="accuracy"), "source_accuracy": 0.98333333,
        "target": Target(max_gz_bytes=90_000, max_drop=0.02).model_dump(), "verdict": "met",
        "reason": "67,601 bytes (gzip) within 90,000", "chosen": "prune/cluster/ptq",
        "pareto": ("prune/cluster/ptq", "prune/cluster/pcqat"),
        "nodes": tuple(node(number, path) for number, path in enumerate(TWELVE, 1)),
        "measurements": {"ptq": measurement(), "prune/cluster/ptq": measurement(operators=operators(factor=0.9))},
        "notes": ("labels are integers: sparse cross-entropy",), "out": "armopt-out/x", "seconds": 111.0,
        "command": ("armopt", "deploy", "--data", "digits", "--out", "a folder"),
        "finished": "2026-01-02T03:04:05+00:00", "environment": {"python": "3.11.2", "tensorflow": "2.21.0"},
    }  # fmt: skip
    return Result(**{**known, **more})


def hostile() -> Result:
    """A run of which everything that can be chosen by a stranger is an attack."""
    nodes = (
        node(1, "float", reason=HOSTILE),
        node(2, "ptq", reason=HOSTILE + LONG, work=HOSTILE),
        node(3, f"{HOSTILE}/ptq", work=LONG),
        node(4, f"prune/{LONG}"),
    )
    found = measurement(
        operators=tuple(one.model_copy(update={"kind": HOSTILE, "advice": HOSTILE + LONG}) for one in operators(3)),
        environment={HOSTILE: HOSTILE, "board": LONG}, runtime=HOSTILE, interval_source=HOSTILE,
    )  # fmt: skip
    return run(
        nodes=nodes, model=HOSTILE, device=HOSTILE[:80], data=LONG, metric=Metric(name=HOSTILE), chosen="ptq",
        measurements={"ptq": found, HOSTILE: found}, notes=(HOSTILE, LONG), command=("armopt", HOSTILE, LONG),
        environment={HOSTILE: LONG}, reason=HOSTILE, target={HOSTILE: HOSTILE}, hosts=(HOSTILE,), finished=HOSTILE,
    )  # fmt: skip


def draw_kernels(folder: Path, names: list[str]) -> None:
    """Density plots of kernels into `folder`, as a run draws them; the last has the most weights."""
    from armopt.show.plot_files import file_stem, save_picture
    from armopt.show.plots import kernel_picture

    folder.mkdir(parents=True)
    for number, name in enumerate(names, 1):
        shares = np.random.default_rng(number).uniform(0.001, 0.01, 96)
        step = Density("float", "value", (-1.0, 1.0), np.linspace(-1, 1, 97), shares, 0.4, 0.0, 500, 90 * number)
        save_picture(
            kernel_picture(KernelDensities(name, (3, 3, 10 * number), (step, step))), folder, file_stem(number, name)
        )

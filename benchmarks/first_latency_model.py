"""Fit and judge the first latency model on published Arm latencies.

    ARMOPT_SHARED=../shared python benchmarks/first_latency_model.py

Each published single-thread XNNPACK row whose model `latency_models.py` can build is counted under emulation; the table
shows predicted over published p50. The fitted coefficient of a core is the one that makes the median ratio 1; it and
the interval are then written into devices/cores/*.toml by hand, with this file as their source.
"""

from __future__ import annotations

import csv
import os
import pickle
import statistics
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from latency_models import MODELS

from armopt.catalog.devices import find_device
from armopt.catalog.search_path import cache_dir
from armopt.core.counts import Counts
from armopt.core.device import BoardKind
from armopt.latency.model import core_cycles, memory_time_ms, predict
from armopt.measuring import random_inputs
from armopt.runners.base import Job, make_runner
from armopt.runners.local import LocalRunner

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One published figure beside what the model makes of the same file."""

    model: str
    dtype: str
    published_ms: float
    core_ms: float  # by throughput, before calibration
    memory_ms: float
    predicted_ms: float

    @property
    def coefficient(self) -> float:
        """The coefficient that would make this row exact."""
        return (self.published_ms - self.memory_ms) / self.core_ms


def boards() -> dict[str, BoardKind]:
    """Device of published.csv -> board kind. Two are no board kinds of ours: what differs from ours is set here."""
    pi4, pi5 = find_device("pi4"), find_device("pi5")
    orin = pi5.model_copy(
        update={
            "name": "orin-a78ae",
            # 2,201.6 MHz by the published rows; Cortex-A78AE is the A76's second successor, timed here like the A76
            "cpu": pi5.cpu.model_copy(update={"freq_mhz": 2202, "variant": 0, "revision": 1}),
            "core": pi5.core.model_copy(update={"part": 0xD42}),
            # LPDDR5 at 204.8 GB/s by NVIDIA's data sheet; a quarter of it for one core is an assumption
            "memory": pi5.memory.model_copy(update={"copy_gb_s": 25.0}),
        }
    )
    graviton = pi4.model_copy(
        update={
            "name": "graviton1-a72",
            "cpu": pi4.cpu.model_copy(update={"freq_mhz": 2300}),  # AWS a1 instances, by the published rows
            "caches": pi4.caches.model_copy(update={"l2_kib": 2048}),
            "memory": pi4.memory.model_copy(update={"copy_gb_s": 10.0}),  # an assumption: server DDR4, one core
        }
    )
    return {"Raspberry Pi 4B": pi4, "AWS a1.2xlarge": graviton, "Jetson AGX Orin": orin}


def model_file(name: str, dtype: str) -> Path:
    """The .tflite, converted on first use."""
    path = cache_dir() / "benchmark" / f"{name}-{dtype}.tflite"
    if not path.exists():
        subprocess.run([sys.executable, str(HERE / "latency_models.py"), name, dtype, str(path)], check=True)
    return path


def count(path: Path, device: BoardKind) -> Counts:
    """Counts of one inference on the emulated device, kept beside the model file."""
    kept = path.with_name(f"{path.stem}-{device.name}.counts")
    if kept.exists():
        counts: Counts = pickle.loads(kept.read_bytes())
        return counts
    with closing(LocalRunner(print)) as host:
        inputs = random_inputs(host.describe(path), count=1)
    with closing(make_runner("qemu", device, say=print)) as runner:
        runner.prepare()
        [result] = runner.run([Job(path, inputs, count=True)])
    found = result.counts
    assert found is not None
    kept.write_bytes(pickle.dumps(found))
    return found


def published_rows() -> list[dict[str, str]]:
    """Single-thread XNNPACK medians of models that we can build."""
    source = Path(os.environ.get("ARMOPT_SHARED", "../shared")) / "latency" / "published.csv"
    with source.open(encoding="utf-8", newline="") as file:
        return [
            row
            for row in csv.DictReader(file)
            if row["kernel_backend"] == "xnnpack"
            and row["threads"].startswith("1 (inferred")
            and row["stat"] == "p50"
            and row["model"] in MODELS
            and row["device"] in boards()
        ]


def judge(device: BoardKind, rows: list[dict[str, str]]) -> list[Row]:
    """Every row of one device with the model's figures."""
    judged = []
    for row in rows:
        counts = count(model_file(row["model"], row["dtype"]), device)
        core_ms = core_cycles(counts, device.core) / (device.cpu.freq_mhz * 1e3)
        predicted = predict(counts, device).p50_ms
        memory_ms, published = memory_time_ms(counts, device), float(row["latency_ms"])
        judged.append(Row(row["model"], row["dtype"], published, core_ms, memory_ms, predicted))
    return judged


def left_out(judged: list[Row]) -> list[float]:
    """Predicted over published of each row, with the coefficient fitted on the other model families only."""
    ratios = []
    for row in judged:
        others = [other.coefficient for other in judged if MODELS[other.model][0] != MODELS[row.model][0]]
        if others:
            ratios.append((statistics.median(others) * row.core_ms + row.memory_ms) / row.published_ms)
    return ratios


def four_threads(device: BoardKind, published: dict[str, float]) -> None:
    """A core without single-thread rows: what coefficient would four published threads ask for?"""
    print(f"\n{device.title}, 4 threads (other kernels: armhf), XNNPACK README of May 22, 2020\n")
    print("| model | type | published mean (ms) | predicted p50 (ms) | predicted / published | asked coefficient |")
    print("|---|---|---|---|---|---|")
    for model, published_ms in published.items():
        prediction = predict(count(model_file(model, "fp32"), device), device, threads=4)
        asked = device.fitted.coefficient * (published_ms - prediction.memory_ms) / prediction.core_ms
        ratio = prediction.p50_ms / published_ms
        print(f"| {model} | fp32 | {published_ms:.0f} | {prediction.p50_ms:.1f} | {ratio:.2f} | {asked:.2f} |")


def main() -> None:
    """Print one table per device, in Markdown."""
    rows = published_rows()
    for name, device in boards().items():
        judged = judge(device, [row for row in rows if row["device"] == name])
        print(f"\n{name} ({device.core.title} timings, {device.cpu.freq_mhz} MHz)\n")
        print("| model | type | published p50 (ms) | predicted p50 (ms) | of it memory | predicted / published |")
        print("|---|---|---|---|---|---|")
        for row in judged:
            ratio = row.predicted_ms / row.published_ms
            print(
                f"| {row.model} | {row.dtype} | {row.published_ms:.2f} | {row.predicted_ms:.2f} "
                f"| {row.memory_ms:.2f} | {ratio:.2f} |"
            )
        ratios = sorted(row.predicted_ms / row.published_ms for row in judged)
        fitted = statistics.median(row.coefficient for row in judged)
        used = device.fitted.coefficient
        span = f"ratio {ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"\n{len(judged)} rows; coefficient used {used}, fitted {fitted:.3f}; {span}", end="")
        apart = sorted(left_out(judged))
        print(f"; family left out: {apart[0]:.2f} to {apart[-1]:.2f}" if apart else "")
    four_threads(find_device("pi3"), {"mobilenet_v1_1.0_224": 116.0, "mobilenet_v2_1.0_224": 83.0})
    four_threads(find_device("pi4"), {"mobilenet_v1_1.0_224": 72.0, "mobilenet_v2_1.0_224": 41.0})


if __name__ == "__main__":
    main()

"""What zeros and shared codes are worth on an Ethos-U, what Vela's runner costs, and how near drafts come.

    ARMOPT_SHARED=../shared python benchmarks/ethos_u.py nodes ds-cnn-l
    python benchmarks/ethos_u.py nodes autoencoder
    python benchmarks/ethos_u.py runner
    ARMOPT_SHARED=../shared python benchmarks/ethos_u.py drafts

`nodes` deploys with `until="best"`, 50% zeros and 16 clusters on ethos-u55-128 and prints each leaf. `runner` times the
runner against Vela's own command, in turn. `drafts` sets untrained estimates beside trained ones: `NPU_MARGIN` of
search/drafts.py rests on it. Finished nodes lie in armopt's store.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import armopt
from armopt.catalog.devices import find_kind
from armopt.catalog.profiles import find_profile
from armopt.catalog.search_path import cache_dir
from armopt.core.npu import NpuKind
from armopt.core.records import Result
from armopt.core.tree import Tree
from armopt.npu_measuring import estimate
from armopt.preparing import prepare_run
from armopt.runners.ethosu.configs import SHIPPED
from armopt.search.drafts import NPU_MARGIN, UNSCORED, Drafts
from armopt.search.nodes import NodeBuilder
from armopt.search.npu_runs import NpuRuns
from armopt.search.prospects import felt_stages
from armopt.search.store import Store

DEVICE = "ethos-u55-128"
STRENGTHS: dict[str, object] = {"sparsity": 0.5, "clusters": 16}
_SHARED = Path(os.environ.get("ARMOPT_SHARED", "../shared"))
_DS_CNN_L = str(_SHARED / "models/ds_cnn_l_finetuned.h5"), str(_SHARED / "data/speech_commands_12.npz")
# The network of MLPerf Tiny's anomaly detection: 640-128x4-8-128x4-640.
_WIDTHS = (128, 128, 128, 128, 8, 128, 128, 128, 128)


def main() -> None:
    """Run the part that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    nodes = parts.add_parser("nodes")
    nodes.add_argument("model", choices=["ds-cnn-l", "autoencoder"])
    nodes.add_argument("--epochs", type=int)
    parts.add_parser("runner")
    parts.add_parser("drafts")
    options = parser.parse_args()
    if options.part == "nodes":
        print_nodes(deployed(options.model, options.epochs))
    else:
        {"runner": time_runner, "drafts": compare_drafts}[options.part]()


def deployed(model: str, epochs: int | None) -> Result:
    """The tree of one model, every leaf."""
    overrides = STRENGTHS | ({} if epochs is None else {"epochs": epochs})
    given: tuple[Any, Any] = _DS_CNN_L if model == "ds-cnn-l" else autoencoder()
    with tempfile.TemporaryDirectory() as folder:
        return armopt.deploy(*given, device=DEVICE, until="best", overrides=overrides, out=folder, plots=False)


def sounds(count: int) -> NDArray[np.float32]:
    """Five frames of 128 frequencies each, as a steady machine makes them: few tones, their strengths, and noise."""
    rng = np.random.default_rng(1)
    tones = rng.normal(size=(6, 640))
    return (rng.normal(size=(count, 6)) @ tones / 6 + 0.05 * rng.normal(size=(count, 640))).astype(np.float32)


def autoencoder() -> tuple[Any, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The network, trained to give back what it is given, and its data."""
    from armopt.compress.backend import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(width, "relu", name=f"dense{number}") for number, width in enumerate(_WIDTHS)]
    model = keras.Sequential([keras.Input((640,)), *layers, keras.layers.Dense(640, name="out")], name="autoencoder")
    model.compile(keras.optimizers.Adam(1e-3), "mean_squared_error", metrics=["mean_squared_error"])
    x = sounds(6000)
    model.fit(x, x, batch_size=100, epochs=10, verbose=0)
    return model, (x, x)


def print_nodes(result: Result) -> None:
    """A table of the leaves, the first of them the one to compare with."""
    leaves = [node for node in result.nodes if node.npu is not None]
    first = leaves[0].npu
    assert first is not None
    print(f"| node | {result.metric.name} | latency | encoded weights | SRAM | flash | bound by | still to win |")
    print("|---|---|---|---|---|---|---|---|")
    for node in leaves:
        npu = node.npu
        assert npu is not None and npu.flash_bytes is not None and node.accuracy.int8 is not None
        shares = ", ".join(f"{bound} {share:.0%}" for bound, share in npu.bound_shares.items())
        print(
            f"| {node.path} | {node.accuracy.int8:.4f} | {npu.npu_ms:.3f} ms ({npu.cycles / first.cycles - 1:+.0%}) "
            f"| {npu.encoded_weight_bytes:,} ({npu.encoded_weight_bytes / first.encoded_weight_bytes:.0%}) "
            f"| {npu.sram_bytes:,} | {npu.flash_bytes:,} | {shares} | {npu.winnable_share:.0%} |"
        )
    print(f"metric of the model as given: {result.source_accuracy}; {result.seconds:.0f} s", file=sys.stderr)


def npu_kind() -> NpuKind:
    """The device of all tables."""
    kind = find_kind(DEVICE)
    assert isinstance(kind, NpuKind)
    return kind


def time_runner(rounds: int = 9) -> None:
    """Median seconds of the runner and of Vela's own command on the same file, one after the other, in turn."""
    store, kind = Store.open(), npu_kind()
    ready = prepare_run(None, "digits", cache_dir(), None, None, "none", None, False, lambda event: None)
    plan = find_profile("default")
    builder = NodeBuilder(ready.source, ready.data, ready.task, plan, {}, False, store, lambda event: None)
    file, system = builder.build("ptq").tflite, kind.system
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("vela")), str(file), "--accelerator-config", kind.npu.accelerator,
            "--config", SHIPPED, "--system-config", system.system_config, "--memory-mode", system.memory_mode,
            "--arena-cache-size", str(system.arena_limit_bytes), "--output-dir", folder,
        ]  # fmt: skip
        asked: dict[str, Callable[[], object]] = {
            "vela": lambda: subprocess.run(command, check=True, capture_output=True),
            "runner": lambda: estimate(file, kind),
        }
        seconds: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(rounds):
            for name, work in asked.items():
                began = time.monotonic()
                work()
                seconds[name].append(time.monotonic() - began)
    found = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    print(f"vela {found['vela']:.3f} s, runner {found['runner']:.3f} s: {found['runner'] / found['vela']:.2f} times")


def compare_drafts() -> None:
    """Untrained estimates beside those of trained files, leaf by leaf of DS-CNN-L."""
    ready = prepare_run(*_DS_CNN_L, cache_dir(), None, None, "none", None, False, lambda event: None)
    kind, store, plan = npu_kind(), Store.open(), find_profile("default").with_settings(STRENGTHS)
    plan = plan.with_width_step(kind.channel_step)
    builder = NodeBuilder(ready.source, ready.data, ready.task, plan, {}, False, store, lambda event: None)
    runs = NpuRuns(kind, ready.task, store, lambda event: None)
    drafts = Drafts(
        lambda settings: builder.apart(UNSCORED, settings), runs.draft, lambda event: None, felt_stages(kind)
    )
    print("| leaf | cycles of the draft | trained | change | flash of the draft | trained | change |")
    print("|---|---|---|---|---|---|---|", flush=True)
    least = 0.0
    for path in Tree(plan.tree).leaves:
        drafted, trained = drafts.speed(path).measured, runs.measurement(builder.build(path))
        assert drafted is not None and drafted.npu is not None and trained.npu is not None
        assert drafted.npu.flash_bytes is not None and trained.npu.flash_bytes is not None
        cycles = trained.npu.cycles / drafted.npu.cycles - 1
        flash = trained.npu.flash_bytes / drafted.npu.flash_bytes - 1
        least = min(least, cycles, flash)
        print(
            f"| {path} | {drafted.npu.cycles:,} | {trained.npu.cycles:,} | {cycles:+.2%} "
            f"| {drafted.npu.flash_bytes:,} | {trained.npu.flash_bytes:,} | {flash:+.2%} |",
            flush=True,
        )
    print(f"smallest change {least:+.2%}, margin {-NPU_MARGIN:+.0%}", file=sys.stderr)


if __name__ == "__main__":
    main()

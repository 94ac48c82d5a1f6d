"""The main job on DS-CNN-L and Speech Commands features, several seeds, beside hand-written TFMOT scripts.

    .venv/bin/python benchmarks/main_job.py [--seeds 1 2 3]

Takes about ten minutes a seed on two cores. `ARMOPT_SHARED` names the folder with `models/ds_cnn_l_finetuned.h5` and
`data/speech_commands_12.npz` (default `../shared`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import armopt
from armopt.core.events import Event, NodeFinished
from armopt.core.records import Node

# Hand-written scripts on tensorflow-model-optimization 0.8.1 from the same start: two epochs a stage, batch 100,
# Adam 1e-4 (clustering 1e-5), median of three seeds: INT8 accuracy on the test split, bytes of the .tflite under gzip.
TFMOT = {
    "ptq": (0.946, 421_777),
    "qat": (0.949, 420_787),
    "prune/ptq": (0.946, 310_738),
    "prune/pqat": (0.954, 310_478),
    "cluster/ptq": (0.947, 290_403),
    "cluster/cqat": (0.951, 290_979),
    "prune/cluster/ptq": (0.951, 243_706),
    "prune/cluster/pcqat": (0.952, 241_576),
}


def main() -> None:
    """Run all seeds and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    seeds = parser.parse_args().seeds
    shared = Path(os.environ.get("ARMOPT_SHARED", "../shared"))
    runs: list[dict[str, Node]] = []
    with tempfile.TemporaryDirectory() as out:
        for seed in seeds:
            started = time.monotonic()
            result = armopt.deploy(
                str(shared / "models/ds_cnn_l_finetuned.h5"),
                str(shared / "data/speech_commands_12.npz"),
                device="pi4",
                until="best",
                overrides={"sparsity": 0.5, "clusters": 16, "epochs": 2, "seed": seed},
                emulate=True,
                out=out,
                listener=_tell,
            )
            runs.append({node.path: node for node in result.nodes})
            print(f"seed {seed}: {time.monotonic() - started:.0f} s, verdict {result.verdict}", flush=True)
    _print_table(runs)


def _tell(event: Event) -> None:
    if isinstance(event, NodeFinished):
        node = event.node
        print(f"  {node.path}: {node.status} {node.accuracy.int8} {node.gz_bytes} {node.seconds} s", flush=True)


def _print_table(runs: list[dict[str, Node]]) -> None:
    print("| node | INT8 accuracy, median (range) | TFMOT | gzip bytes, median (range) | TFMOT | zeros | codes | s |")
    print("|---|---|---|---|---|---|---|---|")
    for path, (tfmot_accuracy, tfmot_bytes) in TFMOT.items():
        nodes = [run[path] for run in runs]
        accuracy = [node.accuracy.int8 or 0.0 for node in nodes]
        size = [node.gz_bytes or 0 for node in nodes]
        print(
            f"| {path} | {statistics.median(accuracy):.4f} ({min(accuracy):.4f}-{max(accuracy):.4f}) "
            f"| {tfmot_accuracy} "
            f"| {statistics.median(size):,.0f} ({min(size):,}-{max(size):,}) | {tfmot_bytes:,} "
            f"| {nodes[0].sparsity:.3f} | {nodes[0].max_codes} | {nodes[0].seconds} |"
        )


if __name__ == "__main__":
    main()

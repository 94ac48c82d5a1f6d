"""armopt beside a chain written by hand on TFMOT: same model, data, epochs and seed, each stage in its own process.

    ARMOPT_SHARED=../shared python benchmarks/against_tfmot.py [--ds-cnn] [--nodes cluster/cqat prune/cluster/pcqat]
    python benchmarks/against_tfmot.py --failures     what TFMOT loses where, and armopt's tests of the same
    python benchmarks/against_tfmot.py --step-time    what a constrained training step costs, and k-means

The model is the built-in one for digits (some minutes), or DS-CNN-L on Speech Commands features from the shared folder.
Tables are Markdown on stdout, progress goes to stderr. A node whose report lies in `--work` already is not run again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from one_stage import Job, Report

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from independent_reader import StoredKernel, lost_zeros, matched  # noqa: E402

LEAVES = (
    "ptq", "qat", "prune/ptq", "prune/pqat", "cluster/ptq", "cluster/cqat", "prune/cluster/ptq", "prune/cluster/pcqat",
)  # fmt: skip
SIDES = ("tfmot", "armopt")
_CALIBRATION_SAMPLES = 200


@dataclass(frozen=True)
class Bench:
    """A model, its data and how hard the stages work, laid out in a folder for the children."""

    folder: Path
    strengths: dict[str, Any]

    def run(self, side: str, node: str) -> Report:
        """The report of a node of one side, its ancestors run before it; kept from an earlier run if there."""
        parent, _, _ = node.rpartition("/")
        if parent:
            self.run(side, parent)
        out = self.out(side, node)
        if not (out / "report.json").exists():
            print(f"{side} {node} ...", file=sys.stderr, flush=True)
            job = Job(
                side, node, str(self.out(side, parent) if parent else self.folder), str(self.folder / "data.npz"),
                str(self.folder / "calibration.npy"), str(out), self.strengths,
            )  # fmt: skip
            file = self.folder / f"{side}-{node.replace('/', '-')}.json"
            file.write_text(json.dumps(asdict(job)))
            done = subprocess.run(
                [sys.executable, str(HERE / "one_stage.py"), str(file)], capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(f"{side} {node} failed:\n{done.stderr[-3000:]}")
        return Report(**json.loads((out / "report.json").read_text()))

    def out(self, side: str, node: str) -> Path:
        """Where a node of one side lies."""
        return self.folder / side / node.replace("/", "-")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ds-cnn", action="store_true", help="DS-CNN-L on Speech Commands features, not digits")
    parser.add_argument("--nodes", nargs="+", default=list(LEAVES), choices=LEAVES, metavar="NODE")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="default: 2 for DS-CNN-L, 8 for digits")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--clusters", type=int, default=16)
    parser.add_argument("--per-channel", action="store_true", help="TFMOT's clustering per channel of convolutions")
    parser.add_argument("--work", type=Path, help="folder to work in and to continue from; default: a temporary one")
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--step-time", action="store_true")
    options = parser.parse_args()
    if options.failures:
        raise SystemExit(_failures())
    if options.step_time:
        model = ["--ds-cnn"] if options.ds_cnn else []
        raise SystemExit(subprocess.run([sys.executable, str(HERE / "step_time.py"), *model]).returncode)
    with tempfile.TemporaryDirectory() as temporary:
        bench = _prepared(options, options.work or Path(temporary))
        _print_chain(bench, options)


def _prepared(options: argparse.Namespace, folder: Path) -> Bench:
    """Write model, data and calibration samples for the children."""
    from comparison_models import load

    folder.mkdir(parents=True, exist_ok=True)
    model, data = load("ds-cnn" if options.ds_cnn else "digits")
    model.save(folder / "model.h5")
    arrays = {
        f"{axis}_{name}": getattr(getattr(data, name), axis)[0] for name in ("train", "val", "test") for axis in "xy"
    }
    np.savez(folder / "data.npz", **arrays)
    np.save(folder / "calibration.npy", data.train.sample(_CALIBRATION_SAMPLES).x[0])
    epochs, batch = (2, 100) if options.ds_cnn else (8, 32)
    strengths = {
        "sparsity": options.sparsity, "clusters": options.clusters, "epochs": options.epochs or epochs,
        "batch_size": batch, "learning_rate": 1e-4, "cluster_rate": 1e-5, "seed": options.seed,
        "per_channel": options.per_channel,
    }  # fmt: skip
    return Bench(folder, strengths)


def _print_chain(bench: Bench, options: argparse.Namespace) -> None:
    reports = {(side, node): bench.run(side, node) for side in options.sides for node in options.nodes}
    what = "DS-CNN-L" if options.ds_cnn else "the digits model"
    print(f"{what}, seed {options.seed}, {bench.strengths['epochs']} epochs a stage; TFMOT | armopt\n")
    columns = ("INT8 accuracy", "gzip bytes", "codes", "pruned weights not zero", "stage s", "train MiB", "total MiB")
    print(f"| node | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for node in options.nodes:
        cells = [_cells(bench, side, node, reports[side, node]) for side in options.sides]
        print(f"| {node} | {' | '.join(' / '.join(pair) for pair in zip(*cells, strict=True))} |")
    if len(options.sides) == 2:
        for field in ("train_mib", "total_mib"):
            ratios = [
                getattr(reports["armopt", node], field) / getattr(reports["tfmot", node], field)
                for node in options.nodes
            ]
            print(f"\nPeak memory ({field}), armopt over TFMOT: {min(ratios):.2f} to {max(ratios):.2f}.")


def _cells(bench: Bench, side: str, node: str, report: Report) -> list[str]:
    from comparison_models import kernels_in

    file = bench.out(side, node) / "model.tflite"
    kernels = kernels_in(bench.folder / "model.h5")
    stored = matched(file, kernels)
    lost = "-"
    if node.startswith("prune/"):
        pruned = kernels_in(bench.out(side, "prune") / "model.h5")
        counts = lost_zeros(file, {name: kernel == 0 for name, kernel in pruned.items()}).values()
        lost = f"{sum(gone for _, gone in counts):,} of {sum(promised for promised, _ in counts):,}"
    return [
        f"{report.accuracy:.4f}",
        f"{len(gzip.compress(file.read_bytes(), 9, mtime=0)):,}",
        str(max(kernel.distinct_codes for name, kernel in stored.items() if not _is_depthwise(kernel))),
        lost,
        f"{report.seconds:.0f}",
        f"{report.train_mib:.0f}",
        f"{report.total_mib:.0f}",
    ]


def _is_depthwise(kernel: StoredKernel) -> bool:
    # Neither side clusters those by default; only their layout begins with an axis of 1 before height and width.
    return kernel.codes.ndim == 4 and kernel.codes.shape[0] == 1 and kernel.codes.shape[1] > 1


def _failures() -> int:
    """Print the table of cases; 1 where TFMOT holds or armopt does not."""
    from tfmot_failures import CASES

    ours = _armopt_tests()
    print("| case | TFMOT 0.8.1 | armopt |\n|---|---|---|")
    as_told = True
    for name, (words, _, test) in CASES.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, str(HERE / "tfmot_failures.py"), name], capture_output=True, text=True)
        lines = done.stdout.strip().splitlines()
        verdict, _, found = (lines[-1] if lines else f"fails\tended with code {done.returncode}").partition("\t")
        passed, ours_found = ours.get(test, (False, "was not run"))
        as_told = as_told and verdict == "fails" and passed
        print(f"| {words} | {verdict}: {found} | {'holds' if passed else 'FAILS'}: {ours_found} |", flush=True)
    return 0 if as_told else 1


def _armopt_tests() -> dict[str, tuple[bool, str]]:
    """For each of armopt's tests of the cases: whether it passed, and what it found, in words."""
    test_file = HERE.parent / "tests/integration/test_where_tfmot_fails.py"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", str(test_file)],
            cwd=HERE.parent, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        found = {}
        for case in ET.parse(report).getroot().iter("testcase"):
            words = [item.get("value", "") for item in case.iter("property") if item.get("name") == "found"]
            failed = [item.get("message", "") for kind in ("failure", "error") for item in case.iter(kind)]
            told = words or [message.splitlines()[0] for message in failed if message] or ["passed"]
            found[case.get("name", "")] = (not failed, told[0])
    return found


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()

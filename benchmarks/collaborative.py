"""Whole trees with several seeds, beside published figures and hand-written TFMOT scripts.

    ARMOPT_SHARED=../shared python benchmarks/collaborative.py [--seeds 1 2 3]      DS-CNN-L on Speech Commands features
    ARMOPT_SHARED=../shared python benchmarks/collaborative.py --fashion [v1] [v2]  small MobileNets on Fashion-MNIST
    python benchmarks/collaborative.py --imagenet FOLDER --weights FILE --architecture v1
    python benchmarks/collaborative.py --digits                                     the built-in model, some minutes

DS-CNN-L takes about ten minutes a seed on two cores. The table is Markdown on stdout, progress goes to stderr. A run
that was broken off goes on where it stopped: finished nodes lie in armopt's store.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import published

import armopt
from armopt.catalog.profiles import find_profile
from armopt.core.events import Event, NodeFinished
from armopt.core.profile import Profile
from armopt.core.records import Node, Result

LEAVES = (
    "ptq", "qat", "prune/ptq", "prune/pqat", "cluster/ptq", "cluster/cqat", "prune/cluster/ptq", "prune/cluster/pcqat",
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A model with its data, and the figures to stand beside it."""

    title: str
    model: str | None
    data: str
    preprocess: str = "none"
    beside: Mapping[str, Mapping[str, published.Row]] = field(default_factory=dict)


def main() -> None:
    """Run what was asked for and print its tables in Markdown."""
    options = _options()
    profile = _profile(options.nodes)
    with tempfile.TemporaryDirectory() as folder:
        for subject in _subjects(options, Path(folder)):
            results = [_run(subject, profile, seed, options, folder) for seed in options.seeds]
            print_table(subject, options, results)
    if not options.imagenet:
        print_not_run()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--fashion", nargs="*", choices=("v1", "v2"), help="small MobileNets; default: both versions")
    which.add_argument("--imagenet", type=Path, metavar="FOLDER", help="folder of class folders; needs --weights")
    which.add_argument("--digits", action="store_true", help="the built-in model")
    parser.add_argument("--weights", type=Path, help=".h5 of keras.applications' MobileNet, width 1.0, 224x224")
    parser.add_argument("--architecture", choices=("v1", "v2"), default="v1", help="of --weights")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=2, help="of each stage")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--clusters", type=int, default=16)
    parser.add_argument("--nodes", nargs="+", choices=LEAVES, default=list(LEAVES), metavar="NODE")
    options = parser.parse_args()
    if options.imagenet and not options.weights:
        parser.error("--imagenet needs --weights: an untrained model has nothing to lose")
    return options


def _subjects(options: argparse.Namespace, folder: Path) -> Iterable[Subject]:
    shared = Path(os.environ.get("ARMOPT_SHARED", "../shared"))
    if options.digits:
        yield Subject("The built-in model on digits", None, "digits")
    elif options.imagenet:
        import mobilenets

        model = mobilenets.imagenet_model(options.architecture, options.weights, folder)
        beside = {"published": published.IMAGENET[options.architecture]}
        title = f"MobileNet {options.architecture} on ImageNet"
        yield Subject(title, str(model), str(options.imagenet), "signed", beside)
    elif options.fashion is not None:
        import mobilenets

        for version in options.fashion or ("v1", "v2"):
            model, data = mobilenets.fashion(version, shared)
            title = f"MobileNet {version}, width {mobilenets.ALPHAS[version]}, 32x32, on Fashion-MNIST"
            yield Subject(title, str(model), str(data), "signed")
    else:
        beside = {"TFMOT scripts": published.SCRIPTS, "published": published.DS_CNN_L}
        model, data = shared / "models/ds_cnn_l_finetuned.h5", shared / "data/speech_commands_12.npz"
        yield Subject("DS-CNN-L on Speech Commands features", str(model), str(data), "none", beside)


def _profile(leaves: list[str]) -> Profile:
    """The default profile with only these leaves and what leads to them."""
    profile = find_profile("default")
    wanted = tuple(path for path in profile.tree if any(f"{leaf}/".startswith(f"{path}/") for leaf in leaves))
    return profile.model_copy(update={"tree": wanted})


def _run(subject: Subject, profile: Profile, seed: int, options: argparse.Namespace, out: str) -> Result:
    print(f"{subject.title}, seed {seed}", file=sys.stderr, flush=True)
    started = time.monotonic()
    result = armopt.deploy(
        subject.model,
        subject.data,
        device="pi4",
        profile=profile,
        until="best",
        overrides={
            "sparsity": options.sparsity, "clusters": options.clusters, "epochs": options.epochs, "seed": seed,
        },
        preprocess=subject.preprocess,
        emulate=True,
        out=out,
        plots=False,
        listener=_tell,
    )  # fmt: skip
    print(f"  {time.monotonic() - started:.0f} s, verdict {result.verdict}", file=sys.stderr, flush=True)
    return result


def _tell(event: Event) -> None:
    if isinstance(event, NodeFinished):
        node = event.node
        words = f"{node.path}: {node.status} {node.accuracy.int8} {node.gz_bytes} {node.seconds} s"
        print(f"  {words}", file=sys.stderr, flush=True)


def print_table(subject: Subject, options: argparse.Namespace, results: list[Result]) -> None:
    """Medians and ranges over the seeds, a line per leaf that was asked for, other people's figures at the end."""
    source = results[0].source_accuracy
    told = "" if source is None else f", {results[0].metric.name} of the float model as given {source:.4f}"
    print(
        f"{subject.title}: seeds {', '.join(map(str, options.seeds))}, {options.epochs} epochs a stage, "
        f"{options.sparsity:.0%} zeros, {options.clusters} clusters{told}; median (range)\n"
    )
    columns = ["node", "float", "INT8", "bytes", "gzip bytes", "zeros", "codes", "s"]
    columns += [f"{name}: {what}" for name in subject.beside for what in ("INT8 %", "gzip bytes")]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for path in options.nodes:
        nodes = [node for result in results for node in result.nodes if node.path == path]
        rows = [figures.get(path, published.NONE) for figures in subject.beside.values()]
        cells = [path, *_measured(nodes), *(cell for row in rows for cell in (row.accuracy, row.gz_bytes))]
        print(f"| {' | '.join(cells)} |")
    for name, figures in subject.beside.items():
        if "source" in figures:
            print(f"\n{name}, float: {figures['source'].accuracy}%.")
    print()


def _measured(nodes: list[Node]) -> list[str]:
    failed = [node for node in nodes if node.gz_bytes is None]
    if failed or not nodes:
        return [f"{failed[0].status}: {failed[0].reason}" if failed else "not run", *["-"] * 6]
    return [
        _spread([node.accuracy.keras for node in nodes], ".4f"),
        _spread([node.accuracy.int8 for node in nodes], ".4f"),
        _spread([node.size_bytes for node in nodes], ",.0f"),
        _spread([node.gz_bytes for node in nodes], ",.0f"),
        _spread([node.sparsity for node in nodes], ".3f"),
        _spread([node.max_codes for node in nodes], ".0f"),
        _spread([node.seconds for node in nodes], ".0f"),
    ]


def _spread(values: Iterable[Any], form: str) -> str:
    """Median with the range in parentheses where there is one; "-" where a value is missing."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle, low, high = (format(value, form) for value in (statistics.median(known), min(known), max(known)))
    return middle if low == high else f"{middle} ({low}-{high})"


def print_not_run() -> None:
    """The published ImageNet figures, marked as not reproduced."""
    print("MobileNet on ImageNet, published only\n")
    print("| model | node | armopt | published: INT8 % | published: gzip bytes |\n|---|---|---|---|---|")
    for version, figures in published.IMAGENET.items():
        for path, row in figures.items():
            reason = "not run here: needs ImageNet and trained weights"
            print(f"| MobileNet {version} | {path} | {reason} | {row.accuracy} | {row.gz_bytes} |")


if __name__ == "__main__":
    main()

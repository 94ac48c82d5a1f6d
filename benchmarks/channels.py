"""Channel pruning: accuracy, size and instructions at several widths, beside the unpruned model with the same tuning.

    ARMOPT_SHARED=../shared python benchmarks/channels.py [--seeds 1 2 3]         DS-CNN-L on Speech Commands features
    ARMOPT_SHARED=../shared python benchmarks/channels.py --fashion resnet8 v2    trained here on Fashion-MNIST first
    ... --importance l1 --width-steps 8 --workers 2

Markdown on stdout, progress on stderr. A run that was broken off goes on where it stopped: finished nodes lie in
armopt's store.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import armopt
from armopt.catalog.profiles import find_profile
from armopt.core.records import Node, Result

# Board kinds whose cores stand for those without and with dot product.
BOARDS = {"A72": "pi4", "A76": "pi5"}
# By scope. Much of a small MobileNet is not multiply-accumulates: half its instructions take more than half of those.
MORE_WIDTHS = {"v2": {"layer": (("half the instructions", 0.45),), "global": (("half the instructions", 0.56),)}}
CHAIN = "channels/prune/cluster/pcqat"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        words: what it is.
        leaf: path of the node.
        width: share of the channels kept.
        importance: which stay.
    """

    words: str
    leaf: str
    width: float = 1.0
    importance: str = ""


@dataclass(frozen=True)
class Subject:
    """A model with its data and the widths to try."""

    title: str
    model: str
    data: str
    widths: Sequence[tuple[str, float]]
    preprocess: str = "none"
    spare: tuple[str, ...] = ()


def main() -> None:
    """Run what was asked for and print a table for each model."""
    options = _options()
    for subject in _subjects(options):
        print_table(subject, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fashion", nargs="+", choices=("resnet8", "v1", "v2"), help="models trained on Fashion-MNIST")
    parser.add_argument("--samples", type=int, help="of Fashion-MNIST to train on, so many at random; default: all")
    parser.add_argument("--trained", type=int, default=5, metavar="EPOCHS", help="of that training; default: 5")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=3, help="of tuning")
    parser.add_argument("--importance", choices=("taylor", "l1"), help="default: the profile's")
    parser.add_argument("--scope", choices=("layer", "global"), default="layer", help="of the widths")
    parser.add_argument("--width-step", type=int, default=8)
    parser.add_argument("--distill", type=float, help="default: the profile's")
    parser.add_argument("--learning-rate", type=float, help="of the tuning, at its start; default: the profile's")
    parser.add_argument("--only", nargs="+", default=["*"], help="rows whose words match one of these patterns")
    parser.add_argument("--chain", action="store_true", help="the whole chain at the first width, too")
    parser.add_argument("--workers", type=int, default=0)
    return parser.parse_args()


def _subjects(options: argparse.Namespace) -> list[Subject]:
    shared = Path(os.environ.get("ARMOPT_SHARED", "../shared"))
    if not options.fashion:
        model, data = shared / "models/ds_cnn_l_finetuned.h5", shared / "data/speech_commands_12.npz"
        widths = (("184 channels", 184 / 276), ("128 channels", 128 / 276))
        return [Subject("DS-CNN-L, Speech Commands", str(model), str(data), widths)]
    from fashion_models import fashion

    found = []
    for name in options.fashion:
        made, arrays = fashion(name, shared, options.samples, options.trained)
        widths = (("half the MACs", 0.7), ("a quarter", 0.5), *MORE_WIDTHS.get(name, {}).get(options.scope, ()))
        found.append(Subject(f"{name}, Fashion-MNIST at 32x32", str(made), str(arrays), widths, "signed"))
    return found


def rows_of(subject: Subject, options: argparse.Namespace) -> list[Row]:
    """The lines of a model's table."""
    chosen = options.importance or str(find_profile("default").settings_of("channels").importance)
    first = subject.widths[0]
    rows = [Row("PTQ", "ptq"), Row("control: all channels, same tuning", "channels/ptq")]
    rows += [Row(words, "channels/ptq", width, chosen) for words, width in subject.widths]
    rows += [Row(f"{words}, chosen at random", "channels/ptq", width, "random") for words, width in subject.widths]
    if options.chain:
        rows.append(Row(f"{first[0]}, 50% zeros, 16 shared codes", CHAIN, first[1], chosen))
    return [row for row in rows if row.leaf == "ptq" or any(fnmatch(row.words, one) for one in options.only)]


def print_table(subject: Subject, options: argparse.Namespace) -> None:
    """Build every row with every seed and print medians."""
    print(f"### {subject.title}\n")
    print(f"Medians of seeds {', '.join(map(str, options.seeds))}; {options.epochs} epochs of tuning.\n")
    print("| model | float | INT8 | INT8 of each seed | gzip bytes | instructions A72 | A76 | ms on pi4 (interval) |")
    print("|---|---|---|---|---|---|---|---|")
    whole: dict[str, float] = {}
    for row in rows_of(subject, options):
        nodes = {
            core: [built(subject, row, options, seed, kind) for seed in options.seeds] for core, kind in BOARDS.items()
        }
        mine = nodes["A72"]
        counts = {core: statistics.median(node.instructions or 0 for node in found) for core, found in nodes.items()}
        whole = whole or counts
        times = sorted((node.latency_ms.p50, node.interval_ms or (0, 0)) for node in mine if node.latency_ms)
        middle = times[len(times) // 2]
        print(
            f"| {row.words} | {_median(node.accuracy.keras for node in mine):.4f} "
            f"| {_median(node.accuracy.int8 for node in mine):.4f} "
            f"| {' '.join(f'{node.accuracy.int8:.4f}' for node in mine)} "
            f"| {_median(node.gz_bytes for node in mine):,.0f} "
            f"| {counts['A72'] / 1e6:.2f} M, {counts['A72'] / whole['A72']:.3f} "
            f"| {counts['A76'] / 1e6:.2f} M, {counts['A76'] / whole['A76']:.3f} "
            f"| {middle[0]:.2f} ({middle[1][0]:.2f} to {middle[1][1]:.2f}) |",
            flush=True,
        )
    print()


def _median(values: object) -> float:
    return statistics.median(float(value) for value in values)  # type: ignore[attr-defined]


def built(subject: Subject, row: Row, options: argparse.Namespace, seed: int, device: str) -> Node:
    """The row's leaf with one seed on one board."""
    parts = row.leaf.split("/")
    channels = {
        "width": row.width, "importance": row.importance or "l1", "epochs": options.epochs,
        "width_step": options.width_step, "scope": options.scope,
        **({} if options.distill is None else {"distill": options.distill}),
        **({} if options.learning_rate is None else {"learning_rate": options.learning_rate}),
    }  # fmt: skip
    plan = (
        find_profile("default")
        .with_settings({"seed": seed, "min_steps": 0})
        .model_copy(
            update={"tree": tuple("/".join(parts[: depth + 1]) for depth in range(len(parts))), "speed_tree": ()}
        )
    )
    if parts[0] == "channels":
        plan = plan.model_copy(update={"nodes": {"channels": channels}})
    with tempfile.TemporaryDirectory() as folder:
        result: Result = armopt.deploy(
            subject.model, subject.data, device=device, profile=plan, until="best", out=folder, plots=False,
            preprocess=subject.preprocess, workers=options.workers,
        )  # fmt: skip
    node = next(node for node in result.nodes if node.path == row.leaf)
    print(f"{row.words}, seed {seed}, {device}: {node.accuracy.int8} {node.gz_bytes} {node.seconds} s", file=sys.stderr)
    return node


if __name__ == "__main__":
    main()

"""All nodes by one single-threaded worker against several: wall time, and whether the nodes are the same bytes.

python benchmarks/workers.py                                        the built-in model on digits
ARMOPT_SHARED=../shared python benchmarks/workers.py --ds-cnn       DS-CNN-L on Speech Commands features

Each run has a fresh store. That workers start and load TensorFlow, model and data is in the time; no device is used.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import armopt  # isort: skip - before anything that imports TensorFlow
import comparison_models

from armopt.catalog.profiles import find_profile
from armopt.catalog.search_path import cache_dir
from armopt.compress.digits import digits_model_file
from armopt.core.events import Event, NodeStarted, silent
from armopt.core.tree import ROOT, Tree
from armopt.preparing import prepare_run
from armopt.search.builder import Built
from armopt.search.crew.builder import CrewBuilder
from armopt.search.nodes import NodeBuilder
from armopt.search.store import Store
from armopt.workers.hire import crew_for, named_run
from armopt.workers.workforce import Workforce


@dataclass(frozen=True)
class Found:
    """What one run made of the tree: wall seconds in all, and of each node its own seconds and all that it is."""

    seconds: float
    node_seconds: dict[str, float]
    nodes: dict[str, tuple[str, dict[str, float], dict[str, str]]]


def main() -> int:
    """Run, print, and return 1 where any node differs."""
    options = _options()
    one, many = (_run(options, count) for count in (1, options.workers))
    print(f"\n{'node':24}{'seconds':>9}{'beside others':>15}  same")
    for path, seconds in one.node_seconds.items():
        same = "yes" if one.nodes[path] == many.nodes[path] else "NO"
        print(f"{path:24}{seconds:>9.1f}{many.node_seconds[path]:>15.1f}  {same}")
    all_same = one.nodes == many.nodes
    print(
        f"\n{len(one.nodes)} nodes on {os.cpu_count()} cores ({platform.machine()}), armopt {armopt.__version__}: "
        f"1 worker {one.seconds:.1f} s, {options.workers} workers {many.seconds:.1f} s, "
        f"ratio {one.seconds / many.seconds:.2f}; nodes {'all identical' if all_same else 'DIFFER'}"
    )
    return 0 if all_same else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ds-cnn", action="store_true", help="DS-CNN-L instead of the built-in model")
    parser.add_argument("--workers", type=int, default=2, help="that stand against one")
    parser.add_argument("--epochs", type=int, default=2, help="of each stage")
    parser.add_argument("--min-steps", type=int, default=300, help="of each stage, on small data")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _run(options: argparse.Namespace, count: int) -> Found:
    model, data = str(digits_model_file(cache_dir())), "digits"
    if options.ds_cnn:
        model, data = map(str, comparison_models.ds_cnn_files())
    ready = prepare_run(model, data, cache_dir(), None, None, "none", None, False, silent)
    profile = find_profile("default")
    tree = Tree(profile.tree)
    overrides: dict[str, object] = {"epochs": options.epochs, "min_steps": options.min_steps, "seed": options.seed}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"))
        inner = NodeBuilder(ready.source, ready.data, ready.task, profile, overrides, False, store, silent)
        run = named_run(model, data, None, None, "none", None, False, store.root)
        print(f"{count} worker{'s' if count > 1 else ''}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        started = time.monotonic()
        with crew_for(Workforce(count), run, _tell) as crew:
            builder = CrewBuilder(inner, crew)
            builder.build(ROOT)
            builder.expect(tree.leaves, all_needed=True)
            found = {path: builder.build(path) for path in tree.paths}
        seconds = time.monotonic() - started
        return Found(
            seconds,
            {path: built.entry.seconds for path, built in found.items()},
            {path: _as_a_whole(built) for path, built in found.items()},
        )


def _as_a_whole(built: Built) -> tuple[str, dict[str, float], dict[str, str]]:
    """A node's key, its figures, and the SHA-256 of each of its files."""
    return built.entry.key, dict(built.metrics), built.entry.record["files"]


def _tell(event: Event) -> None:
    if isinstance(event, NodeStarted):
        print(f"  {event.path}: {event.work}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

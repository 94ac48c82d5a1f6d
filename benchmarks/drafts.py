"""How near untrained drafts come to trained files: compressed size and instructions of every leaf, before and after.

    python benchmarks/drafts.py                                    the built-in digits model
    ARMOPT_SHARED=../shared python benchmarks/drafts.py --ds-cnn-l

Every leaf of the default tree, and those below channels at half width. Finished nodes lie in armopt's store, so that a
run that was broken off goes on where it stopped. The bound `SIZE_MARGIN` of search/drafts.py rests on the last column.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from armopt.catalog.devices import find_device
from armopt.catalog.profiles import find_profile
from armopt.catalog.search_path import cache_dir
from armopt.core.tree import Tree
from armopt.preparing import prepare_run
from armopt.search.device_runs import DeviceRuns
from armopt.search.drafts import SIZE_MARGIN, UNSCORED, Drafts
from armopt.search.nodes import NodeBuilder
from armopt.search.store import Store


def main() -> None:
    """Build all leaves, draft them, and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ds-cnn-l", action="store_true")
    options = parser.parse_args()
    model, data = None, "digits"
    if options.ds_cnn_l:
        shared = Path(os.environ.get("ARMOPT_SHARED", "../shared"))
        model, data = str(shared / "models/ds_cnn_l_finetuned.h5"), str(shared / "data/speech_commands_12.npz")
    ready = prepare_run(model, data, cache_dir(), None, None, "none", None, False, lambda event: None)
    kind, store, plan = find_device("pi4"), Store.open(), find_profile("default")
    plan = plan.with_width_step(kind.core.channel_step)
    builder = NodeBuilder(ready.source, ready.data, ready.task, plan, {}, False, store, lambda event: None)
    runs = DeviceRuns(kind, ready.data, ready.task, 1, False, store, lambda event: None)
    drafts = Drafts(lambda settings: builder.apart(UNSCORED, settings), runs.draft, lambda event: None)
    print("| leaf | gzip of the draft | trained | change | instructions of the draft | trained |")
    print("|---|---|---|---|---|---|", flush=True)
    least = 0.0
    for path in Tree((*plan.tree, *plan.speed_tree)).leaves:
        built = builder.build(path)
        assert built.audit is not None
        drafted, speed = drafts.size(path), drafts.speed(path).measured
        assert speed is not None
        change = built.audit.gz_bytes / drafted.gz_bytes - 1
        least = min(least, change)
        print(
            f"| {path} | {drafted.gz_bytes:,} | {built.audit.gz_bytes:,} | {change:+.2%} "
            f"| {speed.instructions:,} | {runs.measurement(built).instructions:,} |",
            flush=True,
        )
    print(f"smallest change {least:+.2%}, margin {-SIZE_MARGIN:+.0%}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Copies the cycles that this machine's llvm-mca was asked for into the package, for machines without LLVM.

    python tools/ship_block_cycles.py

Run it after measuring what is to be shipped; blocks that were shipped before stay.
"""

from __future__ import annotations

import sys

from armopt.catalog.devices import find_core
from armopt.catalog.search_path import list_data
from armopt.latency.block_cache import origin_line, read_cycles, shipped_path, user_path, write_cycles
from armopt.latency.llvm_mca import find_llvm_mca


def main() -> None:
    """Write one file per scheduler that a shipped core names."""
    mca = find_llvm_mca()
    if mca is None:
        sys.exit("llvm-mca is missing: make setup")
    schedulers = {core.scheduler for core in map(find_core, list_data("devices/cores")) if core.scheduler}
    for scheduler in sorted(schedulers):
        path = shipped_path(scheduler)
        asked = read_cycles(user_path(scheduler, mca.version))
        kept = read_cycles(path)
        if kept and path.read_text(encoding="ascii").splitlines()[0] != origin_line(scheduler, mca.version):
            kept = {}  # of another LLVM: one file does not mix two
        if asked or kept:
            write_cycles(path, kept | asked, scheduler=scheduler, version=mca.version)
            print(f"{path.name}: {len(kept | asked)} blocks, {len(asked.keys() - kept.keys())} new")


if __name__ == "__main__":
    main()

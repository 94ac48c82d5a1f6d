"""What counting costs: CPU time of an emulated run with the plug-in, and with simulated caches, against plain QEMU.

    python benchmarks/plugin_overhead.py [--device pi4] [--rounds 5]

Each round runs the three one after the other; the table shows medians of the rounds' ratios. A run loads the model,
invokes it `INVOCATIONS` times and ends; all of it is counted, start-up too.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

from published_counts import model_file

from armopt.catalog.devices import find_device
from armopt.runners.qemu.plugin import ensure_plugin
from armopt.runners.qemu.sysroot import ensure_board_root, site_of

MODELS = (("mobilenet_v1_1.0_224", "int8"), ("mobilenet_v1_1.0_224", "fp32"), ("mobilenet_v2_1.0_224", "int8"))
INVOCATIONS = 5
_SCRIPT = """
import ctypes, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
close = ctypes.CDLL(None).close
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
close(-770003)
close(-770001)
for _ in range(int(sys.argv[2])):
    interpreter.invoke()
close(-770002)
"""
_BUDGETS = {"counting": 1.3, "counting and caches": 1.6}


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="pi4")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = find_device(options.device)
    plugin = ensure_plugin(say=print)
    root = ensure_board_root(device, say=print, offline=False)
    caches = (
        f"cache={device.caches.l1d_kib}:{device.caches.l1d_ways},cache={device.caches.l2_kib}:{device.caches.l2_ways}"
    )
    print("| model | what | CPU s, median | against plain QEMU, median | budget |\n|---|---|---|---|---|")
    for file in MODELS:
        seconds: dict[str, list[float]] = {}
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "run.py")
            script.write_text(_SCRIPT)
            for _ in range(options.rounds):
                for what, arguments in (("plain QEMU", None), ("counting", ""), ("counting and caches", f",{caches}")):
                    command = ["qemu-aarch64", "-cpu", device.core.emulator.cpu, "-L", str(root)]
                    if arguments is not None:
                        command += ["-plugin", f"{plugin},out={folder}/counts{arguments}"]
                    command += [str(root / "usr/bin/python3.11"), "-s", str(script), str(model_file(file))]
                    seconds.setdefault(what, []).append(_cpu_seconds([*command, str(INVOCATIONS)]))
        for what, found in seconds.items():
            ratios = [one / plain for one, plain in zip(found, seconds["plain QEMU"], strict=True)]
            budget = _BUDGETS.get(what)
            held = "" if budget is None else f"{budget}: {'within' if statistics.median(ratios) <= budget else 'over'}"
            middle, ratio = statistics.median(found), statistics.median(ratios)
            print(f"| {' '.join(file)} | {what} | {middle:.2f} | {ratio:.2f} | {held} |")


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"/{site_of('litert')}", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, check=True, env=env | {"OPENBLAS_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


if __name__ == "__main__":
    main()

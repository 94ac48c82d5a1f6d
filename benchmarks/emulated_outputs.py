"""Outputs of emulated boards against this machine's interpreter, and how exactly counts repeat.

    python benchmarks/emulated_outputs.py [MODEL.tflite ...] [--samples 4]

Without files: EfficientNet-lite0 and MobileNet v2 with random weights, INT8 and float. Samples are random with a fixed
seed. Each file is run twice on each board kind, in processes of their own.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from published_counts import model_file

from armopt.catalog.devices import find_device
from armopt.measuring import measure
from armopt.runners.local import LocalRunner
from armopt.runners.samples import random_inputs

BOARDS = ("pi3", "pi4", "pi5")
NETWORKS = tuple((name, dtype) for name in ("efficientnet-lite0", "mobilenet_v2_1.0_224") for dtype in ("int8", "fp32"))


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--samples", type=int, default=4)
    options = parser.parse_args()
    print("| model | board kind | samples | outputs | instructions of one inference | of the second run |")
    print("|---|---|---|---|---|---|")
    for path in options.models or [model_file(network) for network in NETWORKS]:
        with closing(LocalRunner(lambda text: None)) as host:
            samples = random_inputs(host.describe(path), count=options.samples)
        for board in map(find_device, BOARDS):
            found, again = (measure(path, board, samples=samples)[0] for _ in range(2))
            outputs = "bit-identical" if found.outputs_equal else found.output_difference
            assert found.instructions is not None and again.instructions is not None
            print(
                f"| {path.stem} | {board.name} | {found.outputs_compared} | {outputs} | {found.instructions:,} "
                f"| {again.instructions - found.instructions:+,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

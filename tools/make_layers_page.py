"""Writes docs/layers.md from what models of each layer show: `make layers-page`. A test fails where it is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from layer_rows import CASES, CLUSTERS, HELD, PROVED, REFUSED, SPARSITY, find_row  # noqa: E402

PAGE_FILE = ROOT / "docs" / "layers.md"

_TEXT = f"""# What becomes of each layer

Made by `make layers-page`, never by hand: each row is what a tiny model with that layer showed when it was pruned to
{SPARSITY:.0%} zeros, clustered to {CLUSTERS}, trained under fake quantization, exported and audited.
`tests/integration/test_layers.py` does it again and fails where a row is no longer so.

| layer | prune | cluster | quantization-aware training | in the file |
|---|---|---|---|---|
ROWS

- **prune**: whether the layer's kernels can be pruned. *if asked for*: of a depthwise kernel every weight counts, so a
  stage changes them only with `depthwise = true`, which the default profile says to clustering. Biases, normalizations
  and the like are never touched.
- **cluster**: what {CLUSTERS} clusters are in the end. *codes a tensor*: no more INT8 codes than that in a tensor of
  the file, which is what compresses. *codes a channel*: in each output channel, since channels have scales of their
  own. *values*: of the floats in Keras; the file proves nothing of them.
- **quantization-aware training**: *fake-quantized* in training by TFMOT's wrappers; or trained in float under its
  promises, and quantized *after training*.
- **in the file**: *{PROVED}*: every promised zero is a zero, and every cluster one code, in the INT8 tensors of that
  operator. *{HELD}*: zeros and clusters hold in Keras, and the converter can do no more. *{REFUSED}*: with the reason.
  *unrolled*: the converter dies of the layer's loop, so its steps stand in the file one after the other; the weights
  stand there once.

Layers are found in Sequential, functional, nested and subclassed models, and within custom layers that are made of
known ones. A layer that derives from one in the table counts as that one. `channels_first` can be trained on a CPU
only with oneDNN, which TensorFlow has on by default on x86 Linux.

## How a pruning pattern sees a kernel

As a matrix: a row holds the weights that one output sums up, in the order they lie in, taps before input channels. So
`2:4` keeps two of four neighbouring input channels, `block:1x4` takes four inputs of one output, `block:4x1` one input
of four outputs. Rows of an embedding are its vectors, rows of a depthwise kernel its channels, rows of a recurrent
kernel the units of its gates. The last group or block of a row may be cut; it counts as if zeros filled it up.
"""


def page(rows: Iterable[str]) -> str:
    """The page around the rows of its table."""
    return _TEXT.replace("ROWS", "\n".join(rows))


def rows_of(text: str) -> list[str]:
    """The rows of a page's table."""
    table = text.split("|---|---|---|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return table.splitlines()


if __name__ == "__main__":
    PAGE_FILE.write_text(page(find_row(case).line() for case in CASES), encoding="utf-8")

"""Float kernels that skip zeros, half precision and INT8 beside each other, in emulated instructions.

    python benchmarks/sparse_float.py [--zeros 0 70 80 90] [--size 224] [--alpha 1.0] [--out rows.json]

MobileNet v1, its layers of stride 2 padded with a row and column of zeros on each side as XNNPACK's sparse path asks,
random weights, and in each kernel but the depthwise ones the smallest of them zero. Instructions depend on shapes and
on where zeros are, not on what was trained.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from armopt.catalog.devices import find_device
from armopt.compress.audit import gzip_size
from armopt.compress.backend import keras
from armopt.compress.data import Array, Split
from armopt.compress.export import export_tflite
from armopt.compress.sparse_path import sparse_path
from armopt.compress.stages.patterns import smallest_masked
from armopt.core.stages import NumberFormat
from armopt.measuring import measure

BOARDS = ("pi4", "pi5")
# Filters and stride of each pair of a depthwise and a 1x1 convolution: Howard et al., "MobileNets", 2017, table 1.
_PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
_BLOCK = 4
_SEED = 1
layers = keras.layers


def mobilenet_v1(size: int, alpha: float, around: int | tuple[tuple[int, int], ...] = 1) -> Any:
    """The network, `around` zeros at the edges of pictures that a layer of stride 2 reads; 1,000 classes."""
    inputs = layers.Input((size, size, 3))
    x = layers.Conv2D(int(32 * alpha), 3, 2, use_bias=False)(layers.ZeroPadding2D(around)(inputs))
    x = _activated(x)
    for filters, stride in _PAIRS:
        x = layers.ZeroPadding2D(around)(x) if stride == 2 else x
        x = layers.DepthwiseConv2D(3, stride, "valid" if stride == 2 else "same", use_bias=False)(x)
        x = layers.Conv2D(int(filters * alpha), 1, use_bias=False)(_activated(x))
        x = _activated(x)
    return keras.Model(inputs, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)), name="mobilenet_v1")


def _activated(x: Any) -> Any:
    return layers.ReLU(6.0)(layers.BatchNormalization()(x))


def with_zeros(model: Any, share: float, block: int = 1) -> None:
    """Draw all kernels anew with `share` zeros, in runs of `block` output channels; activations keep their size."""
    generator = np.random.default_rng(_SEED)
    for layer in model.layers:
        if not layer.get_weights() or isinstance(layer, layers.BatchNormalization):
            continue
        kernel, *rest = layer.get_weights()
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        drawn = generator.normal(size=kernel.shape).astype(np.float32)
        keep = np.ones(kernel.shape, bool) if depthwise else _kept(drawn, share, block)
        fan_in = np.prod(kernel.shape[:2]) if depthwise else np.prod(kernel.shape[:-1])
        # Kaiming He et al., 2015: this deviation keeps the size of activations behind a ReLU.
        layer.set_weights([drawn * keep * np.sqrt(2 / (fan_in * keep.mean())), *rest])


def _kept(drawn: Array, share: float, block: int) -> Array:
    groups = np.abs(drawn).reshape(*drawn.shape[:-1], -1, block).sum(-1)
    return np.repeat(smallest_masked(groups, share), block, axis=-1).reshape(drawn.shape)


Row = tuple[str, NumberFormat, int, int]


def rows_of(zeros: list[int]) -> Iterator[Row]:
    """Name, numbers, percent of zeros, block."""
    yield from (("float32", "float32", 0, 1), ("INT8", "int8", 0, 1), ("float16", "float16", 0, 1))
    yield from (("sparse", "sparse", share, 1) for share in zeros)
    if 80 in zeros:
        yield (f"sparse, runs of {_BLOCK} channels", "sparse", 80, _BLOCK)


def main() -> None:
    """Print the table in Markdown, and write its rows where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zeros", type=int, nargs="+", default=[0, 70, 80, 90])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model, found = mobilenet_v1(options.size, options.alpha), []
    samples = np.random.default_rng(_SEED).random((8, options.size, options.size, 3), np.float32)
    print("| file | zeros | gzip bytes | instructions on " + " | in sparse kernels | on ".join(BOARDS), end="")
    print(" | in sparse kernels | outputs against the host's |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, numbers, share, block in rows_of(options.zeros):
            with_zeros(model, share / 100, block)
            path = export_tflite(model, Split((samples,)), Path(folder, "model.tflite"), numbers=numbers).path
            row = {"file": name, "zeros": share, "size_bytes": path.stat().st_size} | _observed(path)
            found.append(row)
            counts = " | ".join(f"{row[board] / 1e6:.1f} M | {row[f'{board}_sparse'] / 1e6:.1f} M" for board in BOARDS)
            print(f"| {name} | {share}% | {row['gz_bytes']:,} | {counts} | {row['outputs']} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def _observed(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"gz_bytes": gzip_size(path.read_bytes()), "obstacles": sparse_path(path).obstacles}
    for board in BOARDS:
        found, _ = measure(path, find_device(board))
        assert found.latency_ms is not None
        row |= {board: found.instructions, f"{board}_sparse": found.sparse_instructions}
        row |= {f"{board}_ms": found.latency_ms.p50, f"{board}_interval_ms": found.interval_ms}
        if board == BOARDS[0]:
            row["outputs"] = (found.output_difference or "equal").removeprefix("output 0: ").split(":")[0]
    return row


if __name__ == "__main__":
    main()

"""MobileNet v1 and v2 for `collaborative.py`: with given ImageNet weights, or small and trained on Fashion-MNIST.

Fashion-MNIST stands in for ImageNet, which can't be redistributed: the same layers in the same order, so the same
pruning, clustering and quantization, at a size that trains in minutes. Its figures say nothing of ImageNet's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from armopt.catalog.search_path import cache_dir
from armopt.compress.backend import keras

Version = Literal["v1", "v2"]
# Width multipliers: the smallest that keras.applications has weights for.
ALPHAS = {"v1": 0.25, "v2": 0.35}
EPOCHS = 5
_BATCH, _RATE, _SEED, _MOMENTUM = 100, 2e-3, 1, 0.9


def build(version: Version, shape: tuple[int, int, int], alpha: float, classes: int, weights: str | None = None) -> Any:
    """The architecture of keras.applications; random weights, or those of an .h5 file."""
    make = keras.applications.MobileNet if version == "v1" else keras.applications.MobileNetV2
    return make(input_shape=shape, alpha=alpha, classes=classes, weights=weights)


def imagenet_model(version: Version, weights: Path, folder: Path) -> Path:
    """Width 1.0 at 224x224 with the weights of a file, saved into `folder`."""
    path = folder / f"mobilenet_{version}.h5"
    build(version, (224, 224, 3), 1.0, 1000, str(weights)).save(path)
    return path


def fashion(version: Version, shared: Path, samples: int | None = None, epochs: int = EPOCHS) -> tuple[Path, Path]:
    """A small trained model and its data; made on first use (some minutes), then kept in armopt's cache.

    Args:
        version: of MobileNet.
        shared: folder with `data/fashion_mnist.npz`.
        samples: of the 60,000 that are trained on, so many at random; None: all.
        epochs: of training.
    """
    shape = (32, 32, 1)
    return trained_on_fashion(
        f"mobilenet_{version}", lambda: build(version, shape, ALPHAS[version], 10), shared, samples, epochs
    )


def trained_on_fashion(
    name: str, make: Callable[[], Any], shared: Path, samples: int | None = None, epochs: int = EPOCHS
) -> tuple[Path, Path]:
    """A model of 32x32 grey images and 10 probabilities, trained once and kept under its name; and its data."""
    folder = cache_dir() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    part = "" if samples is None else f"_{samples}"
    data = folder / f"fashion_mnist_32{part}.npz"
    if not data.exists():
        _write_data(shared / "data/fashion_mnist.npz", data, samples)
    longer = "" if epochs == EPOCHS else f"_{epochs}_epochs"
    path = folder / f"fashion_{name}{part}{longer}.h5"
    if not path.exists():
        print(f"training {name} on Fashion-MNIST ...", file=sys.stderr, flush=True)
        keras.utils.set_random_seed(_SEED)
        _train(make(), data, path, epochs)
    return path, data


def _write_data(source: Path, path: Path, samples: int | None) -> None:
    """28x28 in a frame of zeros: 32x32 is the least that MobileNet's five halvings take."""
    with np.load(source) as file:
        arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    if samples is not None:
        kept = np.random.default_rng(_SEED).permutation(len(arrays["y_train"]))[:samples]
        arrays.update({name: arrays[name][kept] for name in ("x_train", "y_train")})
    for name in ("x_train", "x_test"):
        arrays[name] = np.pad(arrays[name], ((0, 0), (2, 2), (2, 2)))[..., None]
    part = path.with_name(f".{os.getpid()}.{path.name}")
    np.savez_compressed(part, **arrays)
    part.replace(path)


def _train(model: Any, data: Path, path: Path, epochs: int) -> None:
    with np.load(data) as file:
        # `signed` preprocessing, as MobileNet's own: -1 .. 1.
        x, y = file["x_train"] / np.float32(127.5) - np.float32(1), file["y_train"]
    # Of keras.applications' 0.999 a few thousand steps make no statistics: v2 would stay at chance.
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    rate = keras.optimizers.schedules.CosineDecay(_RATE, -(-len(x) // _BATCH) * epochs)
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    model.fit(x, y, batch_size=_BATCH, epochs=epochs, verbose=0)
    part = path.with_name(f".{os.getpid()}.{path.name}")
    model.save(part)
    part.replace(path)

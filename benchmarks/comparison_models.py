"""Models and data of the comparisons: the built-in digits model, and DS-CNN-L from the shared folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

import hard_models
from armopt.catalog.search_path import cache_dir
from armopt.compress.backend import keras
from armopt.compress.data import Data, prepare
from armopt.compress.datasets import load_data
from armopt.compress.digits import digits_model_file

Which = Literal["digits", "ds-cnn"]


def shared() -> Path:
    """The folder with trained models and data sets that are not part of the repository."""
    return Path(os.environ.get("ARMOPT_SHARED", "../shared"))


def ds_cnn_files() -> tuple[Path, Path]:
    """DS-CNN-L after two epochs on the features below, and Speech Commands features of 12 classes."""
    return shared() / "models/ds_cnn_l_finetuned.h5", shared() / "data/speech_commands_12.npz"


def load(which: Which) -> tuple[Any, Data]:
    """A trained tf-keras model that ends in logits, and its prepared data with all three splits."""
    if which == "ds-cnn":
        file, data = ds_cnn_files()
        splits = load_data(str(data))
    else:
        file, splits = digits_model_file(cache_dir()), load_data("digits")
    model = keras.models.load_model(file, compile=False)
    return model, prepare(splits, model, "none")


def kernels_in(file: Path) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Kernels of a saved tf-keras model by layer name, in the order of its layers."""
    return hard_models.kernels(keras.models.load_model(file, compile=False))

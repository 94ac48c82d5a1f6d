"""What is kept of a model's channels as a file, from which the small model is built again without training."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from armopt.compress.channels.groups import Kept
from armopt.core.errors import ModelError


def save_kept(path: Path, kept: Kept) -> None:
    """Write which channels of each group stay (.npz): the groups' names, and an array of booleans for each."""
    # Numbered: a group may have any name, and `savez` has arguments of its own.
    arrays = {f"stays_{number}": np.asarray(stays, bool) for number, stays in enumerate(kept.values())}
    np.savez(path, names=np.array(list(kept), np.str_), **arrays)  # type: ignore[arg-type]


def load_kept(path: Path) -> Kept:
    """What `save_kept` wrote.

    Raises:
        ModelError: no such file, or a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {str(name): np.asarray(file[f"stays_{i}"], bool) for i, name in enumerate(file["names"])}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"what is kept of the channels can't be read from '{path}'", "build the node again") from error

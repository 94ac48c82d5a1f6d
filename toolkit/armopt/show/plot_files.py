"""Writes pictures under names that are safe whatever a layer is called."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.show.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = ("png", "svg")
# What `file_stem` and `save_picture` make: only such files are ever cleared from a folder.
MADE_HERE = re.compile(r"^[0-9]{3,}-[A-Za-z0-9._-]*\.(png|svg)$")
_LONGEST = 60


def file_stem(number: int, name: str) -> str:
    """A file name for a name that a stranger chose: ASCII, cut after 60 characters, numbered and so unique."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", clean(name)).strip("._-")
    return f"{number:03d}-{safe[:_LONGEST]}"


def save_picture(picture: Figure, folder: Path, stem: str) -> None:
    """Write `stem.png` and `stem.svg`.

    Raises:
        OSError: the folder can't be written.
    """
    for ending in ENDINGS:
        save_as(picture, folder / f"{stem}.{ending}")


def save_as(picture: Figure, path: Path) -> None:
    """Write the picture in the format that the file's name ends in, whole or not at all; equal ones as equal bytes.

    Raises:
        OSError: the folder can't be written.
    """
    from armopt.show.plot_style import calm

    part = path.with_name(f".{os.getpid()}.{path.name}")
    ending = path.suffix.lstrip(".").lower()
    metadata: dict[str, Any] = {"Date": None} if ending == "svg" else {}
    try:
        with calm():
            picture.savefig(part, format=ending, metadata=metadata)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

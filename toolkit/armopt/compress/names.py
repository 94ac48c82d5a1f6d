"""What models are called: in results, and as folders on boards. Imports nothing, so that asking for it is quick."""

from __future__ import annotations

from pathlib import Path

DIGITS_MODEL = "digits_ds_cnn.keras"  # the built-in model's file in the cache folder


def model_name(path: Path | None) -> str:
    """The name of the model in a file or SavedModel folder; of the built-in one for None."""
    return (path or Path(DIGITS_MODEL)).expanduser().stem

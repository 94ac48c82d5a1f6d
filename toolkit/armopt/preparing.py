"""Brings model, data and task together, before anything is trained: what the user named, loaded and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.bridge import check_bridge
from armopt.compress.data import Data, Split, prepare
from armopt.compress.datasets import load_data, with_val
from armopt.compress.digits import digits_model_file
from armopt.compress.models import Source, as_source, load_model
from armopt.compress.names import DIGITS_MODEL
from armopt.compress.task import Task, find_task
from armopt.core.errors import UsageError
from armopt.core.events import Listener, Note


@dataclass(frozen=True)
class Ready:
    """A run that can begin.

    Attributes:
        source: the model as given.
        data: preprocessed and checked against it.
        task: loss and metric.
        notes: everything that was assumed on the way, in sentences.
    """

    source: Source
    data: Data
    task: Task
    notes: tuple[str, ...]


def prepare_run(
    model: Any,
    data: Any,
    cache: Path,
    loss: str | None,
    metric: str | None,
    preprocess: str,
    custom_objects: str | None,
    trust_model: bool,
    listener: Listener,
) -> Ready:
    """Load and check model, data and task.

    Args:
        model: path, Keras model or None for the model that belongs to `--data digits`.
        data: name, path, (x, y) or Data.
        cache: folder where the digits model is kept.
        loss: as in `flow.deploy`, like the next four.
        metric: of the task.
        preprocess: of the inputs.
        custom_objects: module with the model's layers.
        trust_model: allow embedded code.
        listener: told of work that takes a while.

    Raises:
        UsageError: nothing named, or anything that does not fit together.
    """
    if data is None:
        raise UsageError("no data given", "name it with --data: digits, an .npz, an image folder or module:function")
    if model is None and data != "digits":
        raise UsageError(
            "no model given", "name a .keras or .h5 file or a SavedModel folder; only --data digits has its own"
        )
    if model is None:
        if not (cache / DIGITS_MODEL).exists():
            listener(Note("training the built-in digits model (once, about half a minute)"))
        model = str(digits_model_file(cache))
    source = load_model(str(model), custom_objects, trust_model) if isinstance(model, (str, Path)) else as_source(model)
    ready = prepare(_raw_data(data, source.model), source.model, preprocess)
    _check_bridge_on(source.model, ready.val)
    task, ready = find_task(source.model, ready, loss, metric)
    return Ready(source, ready, task, (*source.notes, *ready.notes, *task.notes))


def _raw_data(data: Any, model: Any) -> Data:
    if isinstance(data, Data):
        return data
    if isinstance(data, (str, Path)):
        shape = tuple(model.inputs[0].shape)
        is_image = len(shape) == 4 and None not in shape[1:]
        return load_data(str(data), shape[1:3] if is_image else None, shape[3] if is_image else 3)
    x, y = data
    split = Split(tuple(x) if isinstance(x, (list, tuple)) else (np.asarray(x),), (np.asarray(y),))
    held = with_val(Data("arrays", split, Split(()), split))
    return with_val(Data("arrays", held.train, Split(()), held.val))


def _check_bridge_on(model: Any, val: Split, samples: int = 32) -> None:
    """A bridged model must say what its Keras 3 original says, on the user's own samples."""
    original = getattr(model, "keras3_twin", None)
    if original is not None:
        x = [array[:samples] for array in val.x]
        check_bridge(original.value, model, x if len(x) > 1 else x[0])

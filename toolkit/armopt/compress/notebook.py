"""The stages by themselves, for notebooks: Keras in, Keras out; promises travel on the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from armopt.compress.audit import Promise, audit
from armopt.compress.data import Data, Split, prepare
from armopt.compress.datasets import arrays_of, check_lengths, load_data, with_val
from armopt.compress.export import export_tflite
from armopt.compress.models import as_source
from armopt.compress.projection import constraints_of
from armopt.compress.promises import promises_of
from armopt.compress.stages import STAGES, Context, Workpiece
from armopt.compress.task import find_task
from armopt.core.errors import DataError
from armopt.core.profile import StageSettings
from armopt.core.records import Audit


def prune(model: Any, data: Any, sparsity: float = 0.5, **settings: Any) -> Any:
    """A copy of `model` with `sparsity` of each kernel's weights at zero, fine-tuned; the original is not changed.

    Args:
        model: Keras model.
        data: `(x, y)` arrays, or anything that `armopt deploy --data` takes.
        sparsity: share of zeros, between 0 and 1.
        **settings: further fields of `StageSettings`: epochs, learning_rate, batch_size, seed, schedule, spare.
    """
    return _run("prune", model, data, {"sparsity": sparsity, **settings})


def cluster(model: Any, data: Any, clusters: int = 16, **settings: Any) -> Any:
    """A copy of `model` with at most `clusters` INT8 codes per kernel, fine-tuned; zeros of `prune` stay zero.

    Args and settings as for `prune`. `clustering` says what holds that many: "shared" (the INT8 tensor, the default),
    "tensor" or "channel" (the float kernel, or each of its channels).
    """
    return _run("cluster", model, data, {"clusters": clusters, **settings})


def quantize(model: Any, data: Any, **settings: Any) -> Any:
    """A fake-quantized copy of `model`, trained under all promises it carries: QAT, PQAT, CQAT or PCQAT."""
    return _run("qat", model, data, settings)


def export(model: Any, data: Any, path: str | os.PathLike[str], float_io: bool = False, samples: int = 200) -> Audit:
    """Write `model` as full-integer INT8 .tflite and prove the promises it carries on the written file.

    Args:
        model: Keras model, as it is or from `prune`, `cluster` or `quantize`.
        data: as for `prune`; its training samples calibrate.
        path: the .tflite to write.
        float_io: float32 inputs and outputs.
        samples: calibration samples.

    Raises:
        ConversionError: the converter refused the model.
        StructureLost: the file does not hold a promise.
    """
    source = as_source(model)
    ready = prepare(_as_data(data), source.model, "none")
    export_tflite(source.model, ready.train.sample(samples), Path(path), float_io)
    promises: dict[str, Promise] = promises_of(source.model, constraints_of(model))
    return audit(Path(path), promises)


def _run(stage: str, model: Any, data: Any, settings: dict[str, Any]) -> Any:
    source = as_source(model)
    ready = prepare(_as_data(data), source.model, "none")
    task, ready = find_task(source.model, ready)
    context = Context(ready, task, StageSettings.model_validate(settings), lambda *progress: None, source.model)
    made = STAGES[stage].apply(Workpiece(source.model, constraints_of(model)), context)
    made.model.armopt_constraints = made.constraints
    return made.model


def _as_data(data: Any) -> Data:
    if isinstance(data, Data):
        return data
    if isinstance(data, (str, os.PathLike)):
        return load_data(os.fspath(data))
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    split = Split(arrays_of(x), arrays_of(y))
    if not split.x or any(array.ndim == 0 for array in (*split.x, *split.y)):
        raise DataError(f"data of type {type(data).__name__} are no samples", "give (x, y), x alone, or a name or path")
    check_lengths("arrays", {"train": split})
    return with_val(Data("arrays", split, Split(()), split))

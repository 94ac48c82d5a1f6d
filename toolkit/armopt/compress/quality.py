"""The task's metric of a Keras model and of a .tflite, on the same samples by the same function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from armopt.compress.data import Split
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.models import predict
from armopt.compress.task import Task


def score_keras(model: Any, split: Split, task: Task) -> float:
    """The metric of a Keras model (fake-quant models included) on a split."""
    return task.score(split.y, predict(model, split.x))


def score_tflite(path: Path, split: Split, task: Task) -> float:
    """The metric of a .tflite in the host's interpreter on a split."""
    return task.score(split.y, HostInterpreter(path).run(split.x))

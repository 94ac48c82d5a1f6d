"""Metrics as functions of whole arrays, the same for a Keras model, the host interpreter and a board."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from armopt.compress.data import Array
from armopt.compress.usercode import import_object
from armopt.core.errors import UsageError
from armopt.core.records import Metric

MetricFunction = Callable[[tuple[Array, ...], tuple[Array, ...]], float]

_HIGHER_IS_BETTER = (
    "accuracy",
    "acc",
    "auc",
    "precision",
    "recall",
    "f1",
    "fbeta",
    "iou",
    "r2",
    "dice",
    "similarity",
    "top_k",
)
_BATCH = 1024


def metric_named(what: Any, labels: Array, from_logits: bool) -> tuple[Metric, MetricFunction]:
    """A metric by Keras name, Keras object, function or `module:function`, applied to the first output.

    Args:
        what: 'accuracy', 'mae', a keras Metric or Loss, (y_true, y_pred) -> value, or `module:function`.
        labels: the first output's training labels; their shape tells which accuracy is meant.
        from_logits: a binary accuracy then cuts at 0 instead of 0.5.

    Raises:
        UsageError: no such metric.
    """
    if isinstance(what, str) and ":" in what:
        function = import_object(what, "--metric")
        higher = bool(getattr(function, "higher_is_better", _is_higher_better(function.__name__)))
        return Metric(name=function.__name__, higher_is_better=higher), _on_first_output(_reducing(function))
    name = what if isinstance(what, str) else str(getattr(what, "name", getattr(what, "__name__", "metric")))
    if name.lower() in ("accuracy", "acc"):
        return Metric(name="accuracy"), _on_first_output(_accuracy(from_logits))
    metric = Metric(name=name, higher_is_better=_is_higher_better(name))
    return metric, _on_first_output(_keras_metric(what, name))


def _is_higher_better(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in _HIGHER_IS_BETTER) and "error" not in lowered and "loss" not in lowered


def _on_first_output(function: Callable[[Array, Array], float]) -> MetricFunction:
    def score(y_true: tuple[Array, ...], y_pred: tuple[Array, ...]) -> float:
        truth, guess = y_true[0], y_pred[0]
        if guess.ndim == truth.ndim + 1 and guess.shape[-1] == 1:
            guess = guess[..., 0]
        return float(function(truth, guess))

    return score


def _accuracy(from_logits: bool) -> Callable[[Array, Array], float]:
    cut = 0.0 if from_logits else 0.5

    def accuracy(truth: Array, guess: Array) -> float:
        if guess.ndim == truth.ndim + 1:
            return float(np.mean(guess.argmax(-1) == truth))
        if truth.ndim > 1 and truth.shape[-1] == 1 and guess.shape[-1] > 1:
            return float(np.mean(guess.argmax(-1) == truth[..., 0]))
        if guess.ndim > 1 and guess.shape[-1] > 1:
            return float(np.mean(guess.argmax(-1) == truth.argmax(-1)))
        return float(np.mean((guess > cut) == (truth > 0.5)))

    return accuracy


def _reducing(function: Any) -> Callable[[Array, Array], float]:
    return lambda truth, guess: float(np.mean(np.asarray(function(truth, guess))))


def _keras_metric(what: Any, name: str) -> Callable[[Array, Array], float]:
    from armopt.compress.backend import keras

    if isinstance(what, str):
        try:
            what = keras.metrics.get(what)
        except ValueError as error:
            raise UsageError(f"unknown metric '{name}'", "use a Keras metric name or module:function") from error
    if isinstance(what, keras.metrics.Metric):
        maker = what

        def streaming(truth: Array, guess: Array) -> float:
            maker.reset_state()
            for start in range(0, len(truth), _BATCH):
                maker.update_state(truth[start : start + _BATCH], guess[start : start + _BATCH])
            return float(maker.result())

        return streaming
    if not callable(what):
        raise UsageError(f"unknown metric '{name}'", "use a Keras metric name or module:function")
    return _reducing(what)

"""What the model is for: its loss and its metric, from the compiled model, else inferred and said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from armopt.compress.backend import keras
from armopt.compress.data import Data, Split
from armopt.compress.metric import MetricFunction, metric_named
from armopt.compress.models import fixed_batch, predict
from armopt.compress.usercode import import_object
from armopt.core.errors import DataError, UsageError
from armopt.core.records import Metric

# Samples on which loss and metric are tried before anything is trained.
_TRIED = 16


@dataclass(frozen=True)
class Task:
    """Loss to train with, metric to judge with.

    Attributes:
        loss: anything that `Model.compile` takes.
        metric: name and direction.
        score: (y_true, y_pred) -> value; both tuples with one array per output.
        notes: what was inferred, in sentences.
        identity: text that tells this task from others in the store.
    """

    loss: Any
    metric: Metric
    score: MetricFunction
    notes: tuple[str, ...]
    identity: str


def find_task(model: Any, data: Data, loss: str | None = None, metric: str | None = None) -> tuple[Task, Data]:
    """The task of a model on data; the data come back with the inputs as labels where the model reconstructs them.

    Args:
        model: tf-keras model, compiled or not.
        data: prepared data.
        loss: a Keras loss name or `module:function`; overrides.
        metric: a Keras metric name or `module:function`; overrides.

    Raises:
        UsageError: nothing to infer from, or unknown names.
        DataError: no labels where loss or metric needs them, or labels that do not fit the outputs.
    """
    notes: list[str] = []
    data = _with_labels(model, data, notes)
    found_loss, loss_words = _loss(model, data.train, loss, notes)
    from_logits = output_is_linear(model)
    name, function = _metric(model, metric, found_loss, data.train, from_logits, notes)
    _try_out(model, data.train, found_loss, function)
    identity = f"{loss_words}|{name.name}|{from_logits}"
    return Task(found_loss, name, function, tuple(notes), identity), data


def _try_out(model: Any, train: Split, loss: Any, score: MetricFunction) -> None:
    """Compute loss and metric on a few samples, so that labels which do not fit fail here and not in training."""
    few = train.take(slice(0, fixed_batch(model) or _TRIED))
    outputs = predict(model, few.x)
    by_output = loss if isinstance(loss, list) else [loss] * len(outputs)
    if isinstance(loss, dict):
        by_output = [loss.get(name) for name in model.output_names]
    try:
        for labels, guess in zip(train.y, outputs, strict=True):
            _check_label_range(labels, guess)
        for one, truth, guess in zip(by_output, few.y, outputs, strict=True):
            if one is not None:
                # `fit` does the same to labels of one axis before it calls a loss.
                labels = truth[:, None] if truth.ndim == 1 and guess.ndim == 2 else truth
                float(np.mean(np.asarray(keras.losses.get(one)(labels, guess))))
        score(few.y, outputs)
    except DataError:
        raise
    except Exception as error:  # losses and metrics, the user's own too, fail in any way they like
        lines = str(error).strip().splitlines() or [type(error).__name__]
        shapes = ", ".join(str(array.shape[1:]) for array in few.y)
        raise DataError(
            f"loss and metric can't be computed from labels of shape {shapes}: {lines[0][:160]}",
            "give labels that fit the model's outputs, or name --loss and --metric",
        ) from error


def _check_label_range(truth: Any, guess: Any) -> None:
    is_class = np.issubdtype(truth.dtype, np.integer) and truth.ndim == guess.ndim - 1 and guess.shape[-1] > 1
    if is_class and (truth.min() < 0 or truth.max() >= guess.shape[-1]):
        raise DataError(
            f"labels run from {truth.min()} to {truth.max()}, the model has {guess.shape[-1]} classes",
            "use labels 0 to classes - 1",
        )


def _with_labels(model: Any, data: Data, notes: list[str]) -> Data:
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if all(split.y for split in (data.train, data.val, data.test)):
        for name in ("train", "val", "test"):
            split: Split = getattr(data, name)
            if len(split.y) != len(outputs):
                raise DataError(
                    f"the model has {len(outputs)} outputs, y_{name} has {len(split.y)}", "give one array per output"
                )
        return data
    inputs = [tuple(tensor.shape) for tensor in model.inputs]
    if inputs == outputs:
        notes.append("no labels: the outputs have the inputs' shape, so the model is scored on reconstructing them")
        splits = {name: Split(getattr(data, name).x, getattr(data, name).x) for name in ("train", "val", "test")}
        return Data(data.name, splits["train"], splits["val"], splits["test"], data.preprocess, data.notes)
    raise DataError("the data has no labels, and the metric needs them", "add y_train and y_test")


def _loss(model: Any, train: Split, named: str | None, notes: list[str]) -> tuple[Any, str]:
    if named is not None:
        if ":" in named:
            return import_object(named, "--loss"), named
        try:
            function = keras.losses.get(named)
        except ValueError as error:
            raise UsageError(f"unknown loss '{named}'", "use a Keras loss name or module:function") from error
        if _takes_logits(function) and output_is_linear(model):
            function = _with_logits(named)
            notes.append(f"the last layer is linear: {named} is computed from logits")
        return function, named
    compiled = getattr(model, "loss", None)
    if compiled:
        return compiled, repr(getattr(compiled, "name", compiled))
    return _inferred_loss(model, train, notes)


def _takes_logits(function: Any) -> bool:
    return "crossentropy" in getattr(function, "__name__", getattr(function, "name", ""))


def _with_logits(name: str) -> Any:
    lowered = name.lower().replace("_", "")
    classes = {
        "sparsecategoricalcrossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categoricalcrossentropy": keras.losses.CategoricalCrossentropy,
        "binarycrossentropy": keras.losses.BinaryCrossentropy,
    }
    return classes[lowered](from_logits=True) if lowered in classes else keras.losses.get(name)


def _inferred_loss(model: Any, train: Split, notes: list[str]) -> tuple[Any, str]:
    logits = output_is_linear(model)
    losses, words = [], []
    for output, labels in zip(model.outputs, train.y, strict=True):
        classes = output.shape[-1]
        integers = np.issubdtype(labels.dtype, np.integer)
        if integers and labels.ndim == len(output.shape) - 1 and classes is not None and classes > 1:
            losses.append(keras.losses.SparseCategoricalCrossentropy(from_logits=logits))
            words.append("sparse cross-entropy from " + ("logits" if logits else "probabilities"))
        elif _is_one_hot(labels, classes):
            losses.append(keras.losses.CategoricalCrossentropy(from_logits=logits))
            words.append("categorical cross-entropy from " + ("logits" if logits else "probabilities"))
        elif classes == 1 and integers and set(np.unique(labels)) <= {0, 1}:
            losses.append(keras.losses.BinaryCrossentropy(from_logits=logits))
            words.append("binary cross-entropy from " + ("logits" if logits else "probabilities"))
        elif tuple(labels.shape[1:]) == tuple(output.shape[1:]) or (classes == 1 and labels.ndim == 1):
            losses.append(keras.losses.MeanSquaredError())
            words.append("mean squared error")
        else:
            raise DataError(
                f"labels of shape {labels.shape[1:]} do not fit outputs of shape {tuple(output.shape[1:])}",
                "name --loss and --metric, or give other labels",
            )
    notes.append(f"the model is not compiled: the loss is taken to be {' and '.join(words)}")
    return losses if len(losses) > 1 else losses[0], " and ".join(words)


def _is_one_hot(labels: Any, classes: int | None) -> bool:
    return (
        classes is not None
        and classes > 1
        and labels.ndim >= 2
        and labels.shape[-1] == classes
        and set(np.unique(labels[:100])) <= {0, 1}
        and bool(np.all(labels[:100].sum(-1) == 1))
    )


def _metric(
    model: Any, named: str | None, loss: Any, train: Split, logits: bool, notes: list[str]
) -> tuple[Metric, MetricFunction]:
    if named is not None:
        return metric_named(named, train.y[0], logits)
    compiled = _compiled_metrics(model)
    if compiled:
        return metric_named(compiled[0], train.y[0], logits)
    chosen = loss[0] if isinstance(loss, list) else next(iter(loss.values())) if isinstance(loss, dict) else loss
    text = str(chosen if isinstance(chosen, str) else getattr(chosen, "name", getattr(chosen, "__name__", chosen)))
    metric = "accuracy" if "crossentropy" in text.lower().replace("_", "") else chosen
    shown = metric if isinstance(metric, str) else text
    of_first = " of the first output" if len(model.outputs) > 1 else ""
    notes.append(f"no metric is named: the model is judged by {shown}{of_first}")
    return metric_named(metric, train.y[0], logits)


def _compiled_metrics(model: Any) -> list[Any]:
    container = getattr(model, "compiled_metrics", None)
    user = getattr(container, "_user_metrics", None) or []
    if isinstance(user, dict):
        user = list(user.values())
    while user and isinstance(user[0], (list, tuple)):
        user = list(user[0])
    return [metric for metric in user if metric]


def output_is_linear(model: Any, output: int = 0) -> bool:
    """True where an output comes from a layer without a squashing activation: logits, or plain values."""
    tensor = model.outputs[output]
    layer = tensor._keras_history.layer if hasattr(tensor, "_keras_history") else model.layers[-1]
    while hasattr(layer, "layers") and layer.layers:
        layer = layer.layers[-1]
    activation = getattr(layer, "activation", None)
    return type(layer).__name__ != "Softmax" and getattr(activation, "__name__", "linear") not in ("softmax", "sigmoid")

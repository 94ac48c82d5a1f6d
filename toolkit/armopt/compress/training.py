"""Fine-tunes a model under its constraints, and tells how far it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from armopt.compress.backend import keras, tf
from armopt.compress.data import Array, Split
from armopt.compress.distillation import lesson_of
from armopt.compress.models import fixed_batch
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.task import Task
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings

TRAINING_SETTINGS = frozenset(
    {"epochs", "min_steps", "learning_rate", "decay", "batch_size", "seed", "distill", "temperature"}
)

OnStep = Callable[[int, int, int, int, float], None]
"""(step, steps, epoch, epochs, loss), called after each optimizer step."""


def fine_tune(
    model: Any,
    train: Split,
    task: Task,
    settings: StageSettings,
    keeping: ConstraintsCallback,
    on_step: OnStep,
    callbacks: tuple[Any, ...] = (),
    teacher: Any | None = None,
) -> None:
    """Train `model` in place with Adam, every step followed by the projection of `keeping`.

    Args:
        model: the stage's own copy.
        train: training samples.
        task: loss.
        settings: epochs, learning rate, batch size, seed.
        keeping: holds the constraints.
        on_step: progress.
        callbacks: further Keras callbacks, such as a pruning schedule; run before the progress.
        teacher: model to agree with, where `settings.distill` is not 0.

    Raises:
        ModelError: the loss became NaN or infinite.
        UsageError: the settings distill and there is no teacher.
    """
    keras.utils.set_random_seed(settings.seed)
    batch = fixed_batch(model) or min(settings.batch_size, len(train))
    if fixed_batch(model):
        train = train.take(slice(0, len(train) // batch * batch))
    x, y = list(train.x) if len(train.x) > 1 else train.x[0], _labels(model, train.y)
    epochs = epochs_of(settings, len(train), batch)
    rate = learning_rate(settings, steps_per_epoch(len(train), batch) * epochs)
    model.compile(keras.optimizers.Adam(rate), task.loss)
    if epochs == 0:  # `fit` refuses it
        keeping.project_onto(model)
        return
    # Slots that are made within the first step have TensorFlow trace that step twice.
    model.optimizer.build(model.trainable_variables)
    lesson = lesson_of(teacher, task, train, settings)
    progress = _Progress(on_step, steps_per_epoch(len(train), batch), epochs)
    options = {"batch_size": batch, "epochs": epochs, "verbose": 0, "callbacks": [keeping, *callbacks, progress]}
    if lesson is None:
        model.fit(x, y, **options)
        return
    with lesson.taught_to(model):
        model.fit(x, lesson.labels(y), **options)


def learning_rate(settings: StageSettings, steps: int) -> Any:
    """What Adam takes: the rate itself, or its way down to zero over so many steps."""
    if settings.decay == "constant":
        return settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(settings.learning_rate, max(1, steps))


def describe_training(settings: StageSettings) -> str:
    """How long a stage trains, in words; small data may get more epochs."""
    words = f"{settings.epochs} epoch{'' if settings.epochs == 1 else 's'}"
    if settings.min_steps:
        words += f", at least {settings.min_steps} steps"
    return f"{words}, {settings.distill:.0%} of the loss distilled" if settings.distill else words


def steps_per_epoch(samples: int, batch: int) -> int:
    """Optimizer steps of one epoch, the last batch possibly smaller."""
    return math.ceil(samples / batch)


def epochs_of(settings: StageSettings, samples: int, batch: int) -> int:
    """Epochs to train: those of the settings, or as many as `min_steps` takes on small data."""
    return max(settings.epochs, math.ceil(settings.min_steps / steps_per_epoch(samples, batch)))


def _labels(model: Any, y: tuple[Array, ...]) -> Any:
    """Labels in the structure of the model's outputs, as `fit` insists on for outputs in a dictionary."""
    outputs = getattr(model, "_nested_outputs", None)
    if isinstance(outputs, dict):
        return tf.nest.pack_sequence_as(outputs, list(y))
    return list(y) if len(y) > 1 else y[0]


class _Progress(keras.callbacks.Callback):
    def __init__(self, on_step: OnStep, steps: int, epochs: int) -> None:
        super().__init__()
        self._on_step, self._steps, self._epochs = on_step, steps, epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", float("nan")))
        if not np.isfinite(loss):
            raise ModelError(f"training diverged: the loss is {loss}", "lower the learning rate in the profile")
        step = self._epoch * self._steps + batch + 1
        self._on_step(step, self._steps * self._epochs, self._epoch + 1, self._epochs, loss)

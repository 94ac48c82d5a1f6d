"""Distillation: part of the loss is agreement with the model as given (Hinton et al. 2015)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

from armopt.compress.backend import keras, tf
from armopt.compress.data import Array, Split
from armopt.compress.models import predict
from armopt.compress.task import Task, output_is_linear
from armopt.core.errors import UsageError
from armopt.core.profile import StageSettings

# The teacher's outputs on all training samples are computed once if they fit in this, else anew in every step.
_MEMORY_BYTES = 512 * 2**20
# Samples whose outputs tell how large one's are.
_TRIED = 1
# Keeps the logarithm of a probability finite.
_LEAST = 1e-7


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model learns from its teacher.

    Attributes:
        teacher: tf-keras model; not changed.
        share: of the loss that is agreement, 0 to 1.
        temperature: both distributions are softened by it.
        logits: for each output True for logits of a softmax, False for its probabilities, None for anything else.
        outputs: the teacher's on the training samples, one array per output; None: it computes in every step.
    """

    teacher: Any
    share: float
    temperature: float
    logits: tuple[bool | None, ...]
    outputs: tuple[Array, ...] | None

    def labels(self, y: Any) -> Any:
        """Labels as `fit` takes them while the lesson is `taught_to` a model."""
        return y if self.outputs is None else (y, self.outputs)

    @contextlib.contextmanager
    def taught_to(self, model: Any) -> Iterator[None]:
        """While it lasts, the compiled model's loss is (1 - share) times its own plus share times the agreement.

        Losses of regularizers stay whole. The loss that `fit` logs is the model's own.
        """
        step, compute = model.train_step, model.compute_loss
        teachers: list[Any] = []

        def taught_step(data: Any) -> Any:
            if self.outputs is not None:
                x, (y, given) = data
                data = (x, y)
            else:
                x = data[0]
                given = self.teacher(x, training=False)
            teachers[:] = [tf.stop_gradient(tensor) for tensor in tf.nest.flatten(given)]
            return step(data)

        def taught_loss(x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
            own = compute(x, y, y_pred, sample_weight)
            kept = tf.add_n(model.losses) if model.losses else 0.0
            return (1 - self.share) * own + self.share * (self.agreement(teachers, tf.nest.flatten(y_pred)) + kept)

        model.train_step, model.compute_loss = taught_step, taught_loss
        try:
            yield
        finally:
            model.train_step, model.compute_loss = step, compute
            model.train_function = None

    def agreement(self, teacher: list[Any], student: list[Any]) -> Any:
        """How far two models' outputs on a batch are apart, summed over outputs; 0 where they agree.

        Distributions over classes: T^2 KL(teacher softened by T || student softened by T), the factor of Hinton et al.
        2015, section 2. Everything else: the mean squared difference.
        """
        total = tf.zeros(())
        for theirs, ours, logits in zip(teacher, student, self.logits, strict=True):
            theirs, ours = tf.cast(theirs, tf.float32), tf.cast(ours, tf.float32)
            if logits is None:
                total += tf.reduce_mean(tf.square(tf.reshape(theirs, tf.shape(ours)) - ours))
                continue
            wanted, found = (self._softened(outputs, logits) for outputs in (theirs, ours))
            total += self.temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - found), -1))
        return total

    def _softened(self, outputs: Any, logits: bool) -> Any:
        """Logarithms of probabilities at the temperature."""
        return tf.nn.log_softmax((outputs if logits else tf.math.log(outputs + _LEAST)) / self.temperature)


def lesson_of(teacher: Any | None, task: Task, train: Split, settings: StageSettings) -> Lesson | None:
    """The lesson that the settings ask for; None where they ask for none.

    Args:
        teacher: the model as given.
        task: its loss tells which outputs are distributions over classes.
        train: samples in the order in which `fit` gets them.
        settings: share and temperature.

    Raises:
        UsageError: there is no teacher.
    """
    if not settings.distill:
        return None
    if teacher is None:
        raise UsageError("distillation asks for agreement with a model, and none was given", "set distill to 0")
    # The outputs in the order of `teacher.outputs`, whatever names a dictionary gives them.
    listed = keras.Model(teacher.inputs, teacher.outputs)
    outputs = _remembered(teacher, listed, train)
    return Lesson(listed, settings.distill, settings.temperature, _kinds(teacher, task), outputs)


# By the samples, whose outputs they are and the outputs: all stages of a tree have one teacher and one set.
_KNOWN: WeakKeyDictionary[Split, tuple[ref[Any], tuple[Array, ...]]] = WeakKeyDictionary()


def _remembered(teacher: Any, listed: Any, train: Split) -> tuple[Array, ...] | None:
    """The teacher's outputs on all samples, computed once; None where they would take too much memory."""
    known = _KNOWN.get(train)
    if known is not None and known[0]() is teacher:
        return known[1]
    one = sum(array.nbytes for array in predict(listed, train.take(slice(0, _TRIED)).x)) / _TRIED
    if one * len(train) > _MEMORY_BYTES:
        return None
    outputs = predict(listed, train.x)
    _KNOWN[train] = ref(teacher), outputs
    return outputs


def _kinds(teacher: Any, task: Task) -> tuple[bool | None, ...]:
    count = len(teacher.outputs)
    losses = task.loss if isinstance(task.loss, list) else [task.loss] * count
    if isinstance(task.loss, dict):
        losses = [task.loss.get(name) for name in teacher.output_names]
    return tuple(
        output_is_linear(teacher, number) if _chooses_class(loss, teacher.outputs[number].shape) else None
        for number, loss in enumerate(losses)
    )


def _chooses_class(loss: Any, shape: Any) -> bool:
    """True for a cross-entropy between classes of which one is right; a binary one has a right answer for each."""
    known = (keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", getattr(loss, "name", ""))
    text = str(name).lower().replace("_", "")
    by_name = "crossentropy" in text and "binary" not in text
    return (isinstance(loss, known) or by_name) and shape[-1] is not None and shape[-1] > 1

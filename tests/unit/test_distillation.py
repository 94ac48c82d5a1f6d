from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import channel_twins
import tiny_models
from armopt.compress import distillation
from armopt.compress.backend import keras, tf
from armopt.compress.constraints import Constraints, is_kept
from armopt.compress.distillation import Lesson, lesson_of
from armopt.compress.kernels import kernels_of
from armopt.compress.models import copy_model
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.stages import STAGES, Workpiece
from armopt.compress.task import find_task
from armopt.compress.training import describe_training, fine_tune
from armopt.core.errors import UsageError
from armopt.core.profile import StageSettings

layers = keras.layers


def _lesson(logits: bool | None, temperature: float = 2.0) -> Lesson:
    return Lesson(None, 0.5, temperature, (logits,), None)


def test_agreement_of_classifiers_is_hintons_and_the_same_from_logits_and_probabilities() -> None:
    rng = np.random.default_rng(1)
    teacher, student = rng.normal(size=(2, 5, 4)).astype(np.float32)
    soft = [np.exp(z / 2) / np.exp(z / 2).sum(-1, keepdims=True) for z in (teacher, student)]
    by_hand = 4 * (soft[0] * np.log(soft[0] / soft[1])).sum(-1).mean()
    from_logits = _lesson(True).agreement([tf.constant(teacher)], [tf.constant(student)])
    probabilities = [tf.nn.softmax(tf.constant(z)) for z in (teacher, student)]
    assert float(from_logits) == pytest.approx(by_hand, rel=1e-4)
    assert float(_lesson(False).agreement(probabilities[:1], probabilities[1:])) == pytest.approx(by_hand, rel=1e-3)
    assert float(_lesson(True).agreement([teacher], [teacher])) == pytest.approx(0, abs=1e-6)


def test_agreement_of_other_outputs_is_the_mean_square() -> None:
    teacher, student = np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32)
    assert float(_lesson(None).agreement([teacher], [student])) == 1


def _with_ends() -> Any:
    """A softmax, a yes or no, and a regression."""
    inputs = layers.Input((6,))
    x = layers.Dense(8, activation="relu", name="hidden")(inputs)
    ends = {
        "kind": layers.Dense(3, activation="softmax", name="kind")(x),
        "really": layers.Dense(1, activation="sigmoid", name="really")(x),
        "value": layers.Dense(1, name="value")(x),
    }
    return keras.Model(inputs, ends)


def _data_with_ends() -> Any:
    x = tiny_models.samples((6,))
    return tiny_models.data_of(x, (tiny_models.labels(x), (x[:, 0] > 0).astype(np.int64), x.mean(1)))


def test_kinds_of_outputs_follow_loss_and_last_layer() -> None:
    model = channel_twins.randomised(_with_ends())
    task, data = find_task(model, _data_with_ends())
    lesson = lesson_of(model, task, data.train, StageSettings(distill=0.5))
    assert lesson is not None and lesson.logits == (False, None, None)
    linear = tiny_models.context_for(tiny_models.dense())
    lesson = lesson_of(tiny_models.dense(), linear.task, linear.data.train, StageSettings(distill=0.5))
    assert lesson is not None and lesson.logits == (True,)


@pytest.mark.parametrize("memory", [2**29, 0])
def test_a_student_with_only_the_teacher_to_learn_from_comes_to_agree(
    memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "_MEMORY_BYTES", memory)
    teacher = channel_twins.randomised(_with_ends(), 1)
    student = channel_twins.randomised(_with_ends(), 2)
    task, data = find_task(teacher, _data_with_ends())
    asked = StageSettings(distill=1.0, epochs=150, min_steps=0, batch_size=16, learning_rate=1e-2)
    lesson = lesson_of(teacher, task, data.train, asked)
    assert lesson is not None and (lesson.outputs is None) == (memory == 0)

    def apart() -> float:
        assert lesson is not None
        pair = [tf.nest.flatten(model(data.train.x[0], training=False)) for model in (teacher, student)]
        return float(lesson.agreement(*pair))

    before, weights = apart(), teacher.get_weights()
    fine_tune(student, data.train, task, asked, ConstraintsCallback(Constraints()), lambda *_: None, (), teacher)
    assert apart() < 0.05 * before
    assert all(np.array_equal(a, b) for a, b in zip(weights, teacher.get_weights(), strict=True))


def test_the_loss_is_shared_as_asked_and_regularizers_stay_whole() -> None:
    model = keras.Sequential([layers.Input((12,)), layers.Dense(3, kernel_regularizer="l2")])
    teacher = channel_twins.randomised(copy_model(model))
    context = tiny_models.context_for(model, distill=0.25, temperature=3.0)
    model.compile(keras.optimizers.SGD(0.0), context.task.loss, run_eagerly=True)
    lesson = lesson_of(teacher, context.task, context.data.train, context.settings)
    assert lesson is not None and lesson.outputs is not None
    x, y = context.data.train.x[0], context.data.train.y[0]
    seen: list[float] = []
    with lesson.taught_to(model):
        taught = model.compute_loss

        def listening(*given: Any) -> Any:
            loss = taught(*given)
            seen.append(float(loss))
            return loss

        model.compute_loss = listening
        model.fit(x, lesson.labels(y), batch_size=len(x), verbose=0)
    guess = model(x)
    own, penalty = float(context.task.loss(y, guess)), float(model.losses[0])
    agreement = float(lesson.agreement([teacher(x)], [guess]))
    assert seen == [pytest.approx(0.75 * own + 0.25 * agreement + penalty, rel=1e-4)]


def test_afterwards_the_model_trains_as_any_other() -> None:
    model = tiny_models.dense()
    context = tiny_models.context_for(model, distill=0.5)
    keeping = ConstraintsCallback(Constraints())
    fine_tune(
        model, context.data.train, context.task, context.settings, keeping, context.on_step, (), tiny_models.dense()
    )
    history = model.fit(context.data.train.x[0], context.data.train.y[0], verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert "taught" not in model.train_step.__name__ and "taught" not in model.compute_loss.__name__


@pytest.mark.parametrize("stage", ["channels", "prune", "cluster", "qat"])
def test_every_training_stage_learns_from_the_teacher_and_keeps_its_promises(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = channel_twins.randomised(tiny_models.conv2d())
    context = tiny_models.context_for(source, width_step=2, clusters=5, distill=0.9, min_steps=4)
    mask = np.random.default_rng(1).random((3, 3, 3, 8)) > 0.3
    promised = Constraints() if stage == "channels" else Constraints().with_zeros({"conv/kernel": mask})
    asked: list[Any] = []
    agreement = Lesson.agreement

    def listening(lesson: Lesson, teacher: list[Any], student: list[Any]) -> Any:
        asked.append(lesson.teacher)
        return agreement(lesson, teacher, student)

    monkeypatch.setattr(Lesson, "agreement", listening)
    teacher = channel_twins.randomised(tiny_models.conv2d(), 5)
    made = STAGES[stage].apply(Workpiece(source, promised), replace(context, teacher=teacher))
    assert asked and asked[0].layers == teacher.layers
    kernels = {kernel.key: kernel.variable.numpy() for kernel in kernels_of(made.model)}
    assert all(is_kept(kernels[key], constraint) for key, constraint in made.constraints.items())


def test_a_teachers_outputs_are_computed_once_for_all_stages() -> None:
    teachers = [channel_twins.randomised(tiny_models.dense(), seed) for seed in (1, 2)]
    context = tiny_models.context_for(teachers[0], distill=0.5)

    def given(teacher: Any) -> Any:
        lesson = lesson_of(teacher, context.task, context.data.train, context.settings)
        assert lesson is not None and lesson.outputs is not None
        return lesson.outputs[0]

    first = given(teachers[0])
    assert given(teachers[0]) is first
    assert not np.array_equal(given(teachers[1]), first)


def test_without_a_teacher_distillation_is_refused() -> None:
    context = tiny_models.context_for(tiny_models.dense(), distill=0.5)
    with pytest.raises(UsageError, match="none was given; set distill to 0"):
        STAGES["prune"].apply(Workpiece(tiny_models.dense(), Constraints()), context)


def test_distillation_is_told_and_tells_nodes_apart() -> None:
    assert describe_training(StageSettings(distill=0.5)) == "2 epochs, at least 300 steps, 50% of the loss distilled"
    for stage in ("channels", "prune", "cluster", "qat"):
        assert {"distill", "temperature"} <= STAGES[stage].USES

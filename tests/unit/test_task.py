from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.data import Data, Split
from armopt.compress.task import find_task
from armopt.core.errors import DataError, UsageError

layers = keras.layers
X = tiny_models.samples((4,))
CLASSES = tiny_models.labels(X)
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]


def _net(units: int, activation: str | None = None, softmax: bool = False) -> Any:
    stack = [layers.Input((4,)), layers.Dense(units, activation)] + ([layers.Softmax()] if softmax else [])
    return keras.Sequential(stack)


def _notes(model: Any, y: Any, **options: Any) -> tuple[Any, str]:
    task, _ = find_task(model, tiny_models.data_of(X, y), **options)
    return task, " ".join(task.notes)


@pytest.mark.parametrize(
    ("units", "activation", "y", "words", "metric", "higher"),
    [
        (3, None, CLASSES, "sparse cross-entropy from logits", "accuracy", True),
        (3, "softmax", CLASSES, "sparse cross-entropy from probabilities", "accuracy", True),
        (3, None, ONE_HOT, "to be categorical cross-entropy from logits", "accuracy", True),
        (3, "softmax", ONE_HOT, "to be categorical cross-entropy from probabilities", "accuracy", True),
        (1, "sigmoid", CLASSES % 2, "binary cross-entropy from probabilities", "accuracy", True),
        (1, None, CLASSES % 2, "binary cross-entropy from logits", "accuracy", True),
        (1, None, X[:, 0], "mean squared error", "mean_squared_error", False),
        (1, None, CLASSES, "mean squared error", "mean_squared_error", False),
        (3, None, X[:, :3], "mean squared error", "mean_squared_error", False),
    ],
)
def test_the_task_is_inferred_from_labels_and_last_layer_and_said(
    units: int, activation: str | None, y: Any, words: str, metric: str, higher: bool
) -> None:
    task, notes = _notes(_net(units, activation), y)
    assert words in notes
    assert (task.metric.name, task.metric.higher_is_better) == (metric, higher)
    assert f"judged by {metric}" in notes


def test_a_softmax_layer_at_the_end_means_probabilities() -> None:
    task, notes = _notes(_net(3, softmax=True), CLASSES)
    assert "from probabilities" in notes and not task.loss.get_config()["from_logits"]


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_the_inferred_loss_is_the_one_that_the_network_means(activation: str | None) -> None:
    model = _net(3, activation)
    task, _ = _notes(model, CLASSES)
    logits = model(X) if activation is None else np.log(model(X))
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(CLASSES, logits)
    assert float(task.loss(CLASSES, model(X))) == pytest.approx(float(expected), rel=1e-3)


def test_without_labels_a_model_that_reconstructs_is_an_autoencoder() -> None:
    task, data = find_task(_net(4), tiny_models.data_of(X))
    assert data.train.y[0] is data.train.x[0] and data.test.y[0] is data.test.x[0]
    assert "reconstructing" in " ".join(task.notes) and not task.metric.higher_is_better
    assert task.score((X,), (X + 1,)) == pytest.approx(1.0, abs=1e-4)


def test_without_labels_any_other_model_is_refused() -> None:
    with pytest.raises(DataError, match="no labels, and the metric needs them; add y_train and y_test"):
        find_task(_net(3), tiny_models.data_of(X))
    labelled, bare = Split((X,), (CLASSES,)), Split((X,))
    with pytest.raises(DataError, match="no labels"):
        find_task(_net(3), Data("half", labelled, labelled, bare))


def _two_outputs() -> Any:
    inputs = layers.Input((4,))
    return keras.Model(inputs, [layers.Dense(3, name="kind")(inputs), layers.Dense(1, name="size")(inputs)])


def test_each_output_gets_its_own_loss_and_the_first_is_judged() -> None:
    task, notes = _notes(_two_outputs(), (CLASSES, X[:, 0]))
    assert "sparse cross-entropy from logits and mean squared error" in notes
    assert "accuracy of the first output" in notes
    assert [loss.name for loss in task.loss] == ["sparse_categorical_crossentropy", "mean_squared_error"]


def test_one_array_of_labels_for_two_outputs_is_refused() -> None:
    with pytest.raises(DataError, match="the model has 2 outputs, y_train has 1"):
        _notes(_two_outputs(), CLASSES)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (CLASSES + 1, "labels run from 1 to 3, the model has 3 classes"),
        (CLASSES - 1, "labels run from -1 to 1"),
        (X[:, :2], r"labels of shape \(2,\) do not fit outputs of shape \(3,\)"),
        (np.array(["cat"] * len(X)), "labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_any_training(y: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        _notes(_net(3), y)
    assert "\n" not in str(caught.value)


def test_a_compiled_model_brings_its_own_loss_and_metric() -> None:
    model = _net(1)
    model.compile("adam", "mae", metrics=["mape"])
    task, notes = _notes(model, X[:, 0])
    assert (task.loss, task.metric.name, notes) == ("mae", "mape", "")


def test_a_compiled_model_without_metric_is_judged_by_what_its_loss_implies() -> None:
    model = _net(3)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    task, notes = _notes(model, CLASSES)
    assert task.metric.name == "accuracy" and "judged by accuracy" in notes
    model = _net(1)
    model.compile("adam", "mae")
    task, _ = _notes(model, X[:, 0])
    assert (task.metric.name, task.metric.higher_is_better) == ("mae", False)


def test_flags_override_what_the_model_was_compiled_with() -> None:
    model = _net(1)
    model.compile("adam", "mse", metrics=["mse"])
    task, _ = _notes(model, X[:, 0], loss="huber", metric="mae")
    assert task.loss is keras.losses.huber and task.metric.name == "mae"


def test_a_named_cross_entropy_is_computed_from_logits_where_the_last_layer_is_linear() -> None:
    task, notes = _notes(_net(3), CLASSES, loss="sparse_categorical_crossentropy")
    assert task.loss.get_config()["from_logits"] and "computed from logits" in notes
    task, notes = _notes(_net(3, "softmax"), CLASSES, loss="sparse_categorical_crossentropy")
    assert task.loss is keras.losses.sparse_categorical_crossentropy and "logits" not in notes


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_task.py").write_text(
        "import tensorflow as tf\n"
        "def fourth(y, p):\n    return tf.reduce_mean((tf.cast(y, tf.float32) - p) ** 4, axis=-1)\n"
        "def broken(y, p):\n    raise RuntimeError('not today')\n"
        "def gap(y, p):\n    return abs(y - p).max()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_task"


def test_loss_and_metric_may_be_the_users_own_functions(own: str) -> None:
    task, _ = _notes(_net(1), X[:, 0], loss=f"{own}:fourth", metric=f"{own}:gap")
    assert task.loss.__name__ == "fourth"
    assert (task.metric.name, task.metric.higher_is_better) == ("gap", False)


def test_a_users_loss_that_fails_is_told_before_training(own: str) -> None:
    with pytest.raises(DataError, match=r"can't be computed.*not today"):
        _notes(_net(1), X[:, 0], loss=f"{own}:broken")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "nonesuch"}, "unknown loss 'nonesuch'"),
        ({"metric": "nonesuch"}, "unknown metric 'nonesuch'"),
        ({"loss": "no_such_module:f"}, "--loss no_such_module"),
        ({"metric": "no_such_module:f"}, "--metric no_such_module"),
    ],
)
def test_unknown_losses_and_metrics_are_refused(options: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _notes(_net(3), CLASSES, **options)


def test_tasks_that_differ_have_identities_that_differ() -> None:
    tasks = [
        _notes(_net(3), CLASSES)[0],
        _notes(_net(3, "softmax"), CLASSES)[0],
        _notes(_net(3), CLASSES, metric="sparse_top_k_categorical_accuracy")[0],
        _notes(_net(3), CLASSES, loss="sparse_categorical_crossentropy")[0],
    ]
    assert len({task.identity for task in tasks}) == 4
    assert _notes(_net(3), CLASSES)[0].identity == tasks[0].identity

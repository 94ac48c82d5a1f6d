from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armopt.compress.backend import keras
from armopt.compress.metric import metric_named
from armopt.core.errors import UsageError


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("accuracy", True),
        ("acc", True),
        ("sparse_categorical_accuracy", True),
        ("AUC", True),
        ("Precision", True),
        ("cosine_similarity", True),
        ("mae", False),
        ("mean_squared_error", False),
        ("sparse_categorical_crossentropy", False),
        ("KLDivergence", False),
    ],
)
def test_the_name_tells_which_direction_is_better(name: str, higher: bool) -> None:
    metric, _ = metric_named(name, np.zeros(2, int), False)
    assert metric.higher_is_better is higher
    assert metric.drop(0.9, 0.8) == pytest.approx(0.1 if higher else -0.1)


@pytest.mark.parametrize(
    ("truth", "guess", "logits", "expected"),
    [
        ([0, 1, 1], [[9, 1], [1, 9], [9, 1]], True, 2 / 3),
        ([[0], [1], [1]], [[9, 1], [1, 9], [9, 1]], True, 2 / 3),
        ([[1, 0], [0, 1], [0, 1]], [[9, 1], [1, 9], [9, 1]], True, 2 / 3),
        ([0, 1, 1, 0], [[0.2], [0.9], [0.4], [0.7]], False, 1 / 2),
        ([0, 1, 1, 0], [[-2.0], [0.1], [-0.4], [0.2]], True, 1 / 2),
        ([[0], [1]], [[0.2], [0.9]], False, 1.0),
        ([[0, 1], [1, 1]], [[[9, 1], [1, 9]], [[9, 1], [1, 9]]], True, 3 / 4),
    ],
)
def test_accuracy_is_the_one_that_the_labels_mean(truth: Any, guess: Any, logits: bool, expected: float) -> None:
    y, p = np.array(truth), np.array(guess, np.float32)
    _, score = metric_named("accuracy", y, logits)
    assert score((y,), (p,)) == pytest.approx(expected)


def test_only_the_first_output_is_scored() -> None:
    y = np.array([0, 1])
    _, score = metric_named("accuracy", y, True)
    right, wrong = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[::-1]
    assert score((y, y), (right, wrong)) == 1.0
    assert score((y, y), (wrong, right)) == 0.0


@pytest.mark.parametrize(
    "what", ["mae", keras.metrics.MeanAbsoluteError(), keras.losses.MeanAbsoluteError(), keras.losses.mae]
)
def test_a_mean_error_is_the_same_in_every_form_and_over_batches(what: Any) -> None:
    truth = np.random.default_rng(1).normal(size=3000).astype(np.float32)
    guess = truth[:, None] + np.where(np.arange(3000) % 3 == 0, 3.0, 0.0)[:, None]
    _, score = metric_named(what, truth, True)
    assert score((truth,), (guess.astype(np.float32),)) == pytest.approx(1.0, abs=1e-4)
    assert score((truth,), (guess.astype(np.float32),)) == pytest.approx(1.0, abs=1e-4)


def test_a_users_function_scores_and_may_say_its_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metrics.py").write_text(
        "import numpy as np\n"
        "def worst(truth, guess):\n    return np.max(np.abs(truth - guess))\n"
        "def utility(truth, guess):\n    return np.abs(truth - guess)\n"
        "utility.higher_is_better = True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    truth, guess = np.array([1.0, 2.0]), np.array([[1.0], [5.0]])
    metric, score = metric_named("own_metrics:worst", truth, True)
    assert (metric.name, metric.higher_is_better, score((truth,), (guess,))) == ("worst", False, 3.0)
    metric, score = metric_named("own_metrics:utility", truth, True)
    assert (metric.name, metric.higher_is_better, score((truth,), (guess,))) == ("utility", True, 1.5)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown metric 'nonesuch'; use a Keras metric name"):
        metric_named("nonesuch", np.zeros(2), False)

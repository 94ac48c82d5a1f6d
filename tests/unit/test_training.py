from __future__ import annotations

from typing import Any

import pytest

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.training import fine_tune


class _Traces(keras.callbacks.Callback):
    """How often TensorFlow traced the train step, as the last batch found it."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count = self.model.train_function.experimental_get_tracing_count()


@pytest.mark.parametrize("distill", [0.0, 0.5])
def test_a_step_is_traced_once(distill: float) -> None:
    """Tracing is most of what a short training costs."""
    context = tiny_models.context_for(tiny_models.conv2d(), distill=distill, epochs=2, batch_size=8, min_steps=0)
    seen = _Traces()
    keeping, teacher = ConstraintsCallback(Constraints()), tiny_models.conv2d()
    model = tiny_models.conv2d()
    fine_tune(model, context.data.train, context.task, context.settings, keeping, context.on_step, (seen,), teacher)
    assert seen.count == 1

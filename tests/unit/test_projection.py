from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from test_constraints import Case, cases

import armopt
import tiny_models
from armopt.compress.backend import keras, tf
from armopt.compress.constraints import Constraints, KernelConstraint, is_kept, project
from armopt.compress.kernels import kernels_of
from armopt.compress.projection import ConstraintsCallback, constraints_of
from armopt.core.errors import UsageError

SHAPE = (6, 5)


@pytest.fixture(scope="module")
def one_kernel() -> Any:
    return keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(5, use_bias=False, name="only")])


@settings(max_examples=25, deadline=None)
@given(case=cases(SHAPE))
def test_the_compiled_projection_agrees_with_the_plain_one(one_kernel: Any, case: Case) -> None:
    kernel, constraint = case
    callback = ConstraintsCallback(Constraints({"only/kernel": constraint}))
    callback.set_model(one_kernel)
    try:
        one_kernel.set_weights([kernel])
        tf.function(callback.projections["only/kernel"].apply)()
        compiled = one_kernel.get_weights()[0]
    finally:
        callback.on_train_end()
    assert is_kept(compiled, constraint)
    np.testing.assert_allclose(compiled, project(kernel, constraint), rtol=1e-5, atol=1e-5)


def _promise(model: Any) -> Constraints:
    """Half of the first kernel zero, the last one in four groups."""
    first, *_, last = kernels_of(model)
    keep = np.random.default_rng(3).random(tuple(first.variable.shape)) > 0.5
    codes = np.random.default_rng(4).integers(0, 4, tuple(last.variable.shape)).astype(np.uint16)
    return Constraints().with_zeros({first.key: keep}).with_codes({last.key: codes}, 4)


def _kernels(model: Any) -> dict[str, Any]:
    return {kernel.key: kernel.variable.numpy() for kernel in kernels_of(model)}


def _fit(model: Any, **options: Any) -> Any:
    x = tiny_models.samples((12,))
    return model.fit(x, tiny_models.labels(x), batch_size=16, epochs=2, verbose=0, **options)


def _compiled_model() -> Any:
    model = tiny_models.dense()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    return model


def test_a_users_own_fit_keeps_the_promise_and_trains_on() -> None:
    model = _compiled_model()
    constraints = _promise(model)
    before = _kernels(model)
    history = _fit(model, callbacks=[armopt.ConstraintsCallback(constraints)])
    after = _kernels(model)
    assert all(is_kept(after[key], constraint) for key, constraint in constraints.items())
    assert all(not np.array_equal(project(before[key], constraints[key]), after[key]) for key in constraints)
    assert {"loss", "accuracy"} <= set(history.history)


def test_every_step_ends_on_the_promise_not_only_the_last() -> None:
    model = _compiled_model()
    constraints = _promise(model)
    seen: list[bool] = []

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            kernels = _kernels(self.model)
            seen.append(all(is_kept(kernels[key], constraint) for key, constraint in constraints.items()))

    _fit(model, callbacks=[armopt.ConstraintsCallback(constraints), Watch()])
    assert seen == [True] * 8


def test_the_first_step_starts_on_the_promise_whatever_the_weights_were() -> None:
    model = _compiled_model()
    constraints = _promise(model)
    seen: list[bool] = []

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            kernels = _kernels(self.model)
            seen.append(all(is_kept(kernels[key], constraint) for key, constraint in constraints.items()))

    _fit(model, callbacks=[armopt.ConstraintsCallback(constraints), Watch()])
    assert seen[0]


def test_the_model_gets_its_own_train_step_back() -> None:
    model = _compiled_model()
    constraints = _promise(model)
    step = model.train_step
    _fit(model, callbacks=[armopt.ConstraintsCallback(constraints)])
    assert model.train_step == step
    _fit(model)
    kernels = _kernels(model)
    assert not any(is_kept(kernels[key], constraint) for key, constraint in constraints.items())


def test_a_second_fit_with_the_same_callback_keeps_the_promise_too() -> None:
    model = _compiled_model()
    constraints = _promise(model)
    callback = armopt.ConstraintsCallback(constraints)
    _fit(model, callbacks=[callback])
    _fit(model, callbacks=[callback])
    kernels = _kernels(model)
    assert all(is_kept(kernels[key], constraint) for key, constraint in constraints.items())


def test_an_interrupted_fit_leaves_no_second_wrapper_behind() -> None:
    model = _compiled_model()
    constraints = _promise(model)
    own = model.train_step

    class Interrupt(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(model, callbacks=[armopt.ConstraintsCallback(constraints), Interrupt()])
    _fit(model, callbacks=[armopt.ConstraintsCallback(constraints)])
    assert model.train_step == own


def test_a_custom_train_step_is_kept_inside() -> None:
    class Counting(keras.Model):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            return {**logs, "mine": tf.constant(7.0)}

    inputs = keras.layers.Input((12,))
    model = Counting(inputs, keras.layers.Dense(3, name="out")(inputs))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    constraints = Constraints().with_zeros({"out/kernel": np.tile([True, False, True], (12, 1))})
    history = _fit(model, callbacks=[armopt.ConstraintsCallback(constraints)])
    assert history.history["mine"][-1] == 7.0
    assert not model.get_layer("out").kernel.numpy()[:, 1].any()


def test_promises_recorded_on_the_model_are_the_default() -> None:
    model = _compiled_model()
    assert len(constraints_of(model)) == 0
    model.armopt_constraints = _promise(model)
    _fit(model, callbacks=[armopt.ConstraintsCallback()])
    kernels = _kernels(model)
    assert all(is_kept(kernels[key], constraint) for key, constraint in constraints_of(model).items())


@pytest.mark.parametrize(
    ("key", "shape", "words"),
    [("elsewhere/kernel", (12, 16), "no such kernel"), ("hidden/kernel", (16, 12), r"shape \(12, 16\)")],
)
def test_promises_of_another_model_are_refused(key: str, shape: tuple[int, ...], words: str) -> None:
    constraints = Constraints({key: KernelConstraint(keep=np.ones(shape, bool))})
    with pytest.raises(UsageError, match=f"{key}.*{words}"):
        _fit(_compiled_model(), callbacks=[armopt.ConstraintsCallback(constraints)])

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tiny_models
from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints, KernelConstraint, is_kept
from armopt.compress.kernels import kernels_of
from armopt.compress.models import as_source, copy_model
from armopt.compress.stages import STAGES, Workpiece
from armopt.compress.stages.cluster import assign_clusters
from armopt.compress.stages.patterns import smallest_masked
from armopt.compress.stages.prune import sparsity_at
from armopt.compress.stages.qat import counterparts, with_fake_quant
from armopt.compress.task import find_task
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings
from armopt.core.stages import FACTS

KERNELS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=6), elements=st.floats(-8, 8, width=32))


def _kernels(model: Any) -> dict[str, Any]:
    return {kernel.key: kernel.variable.numpy() for kernel in kernels_of(model)}


def _start(model: Any) -> Workpiece:
    return Workpiece(model, Constraints())


@given(KERNELS, st.floats(0.01, 0.99))
def test_the_smallest_weights_are_masked_exactly_as_many_as_asked(kernel: Any, sparsity: float) -> None:
    keep = smallest_masked(kernel, sparsity)
    assert (~keep).sum() == round(sparsity * kernel.size)
    if keep.any() and not keep.all():
        assert np.abs(kernel[~keep]).max() <= np.abs(kernel[keep]).min()


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (25, 0.8 * (1 - 0.75**3)), (50, 0.7), (100, 0.8), (300, 0.8)])
def test_the_schedule_is_the_cubic_of_zhu_and_gupta(step: int, expected: float) -> None:
    assert sparsity_at(step, 100, 0.8, "polynomial") == pytest.approx(expected)
    assert sparsity_at(step, 100, 0.8, "constant") == 0.8


@settings(max_examples=25, deadline=None)
@given(KERNELS, st.integers(2, 9), st.booleans(), st.randoms(use_true_random=False))
def test_clusters_are_at_most_as_many_as_asked_and_zeros_are_apart(
    kernel: Any, clusters: int, pruned: bool, random: Any
) -> None:
    keep = np.array([random.random() > 0.4 for _ in range(kernel.size)]).reshape(kernel.shape) if pruned else None
    codes = assign_clusters(kernel, clusters, keep)
    used = np.unique(codes)
    assert codes.shape == kernel.shape and codes.dtype == np.uint16
    assert len(used) <= clusters and used.max() < clusters
    if keep is not None:
        assert np.array_equal(codes == 0, ~keep)
    # One dimension: clusters are intervals, so codes rise with the weights.
    free = np.ones(kernel.shape, bool) if keep is None else keep
    order = np.argsort(kernel[free], kind="stable")
    assert np.all(np.diff(codes[free][order].astype(int)) >= 0)


def test_a_large_kernel_is_clustered_as_well_as_a_small_one() -> None:
    # Four peaks: both the exact way and the histogram's have to find them.
    peaks = np.array([-3.0, -1.0, 0.5, 2.0], np.float32)
    for size in (400, 40_000):
        noise = np.random.default_rng(1).normal(0, 0.05, size).astype(np.float32)
        kernel = np.resize(peaks, size) + noise
        codes = assign_clusters(kernel, 4, None)
        assert np.array_equal(codes, np.resize(np.arange(4), size))


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_promises_hold_exactly_down_the_tree_and_each_source_stays_as_it_was(name: str) -> None:
    source = tiny_models.BUILDERS[name]()
    context = tiny_models.context_for(source, sparsity=0.6, clusters=6, depthwise=True)
    pieces = [_start(source)]
    for stage in ("prune", "cluster", "pcqat"):
        before = [weight.copy() for weight in pieces[-1].model.get_weights()]
        pieces.append(STAGES[stage].apply(pieces[-1], context))
        assert all(np.array_equal(a, b) for a, b in zip(before, pieces[-2].model.get_weights(), strict=True))
    _, pruned, clustered, quantized = pieces
    zeros = {key: kernel == 0 for key, kernel in _kernels(pruned.model).items()}
    for piece in pieces[1:]:
        kernels = _kernels(piece.model)
        assert set(kernels) == set(piece.constraints) == set(_kernels(source))
        for key, constraint in piece.constraints.items():
            assert is_kept(kernels[key], constraint), (name, key)
            assert not kernels[key][zeros[key]].any()
    for kernel in _kernels(pruned.model).values():
        assert (kernel == 0).sum() == round(0.6 * kernel.size)
    for key, kernel in _kernels(clustered.model).items():
        assert 1 < _codes(kernel, clustered.constraints[key]) <= 6
        moved = _kernels(quantized.model)[key]
        assert moved.shape == kernel.shape and not np.array_equal(moved, kernel)


def _codes(kernel: Any, constraint: KernelConstraint) -> int:
    """Distinct values of a kernel, or of shared codes: distinct values over its channels' largest, in 127ths."""
    if constraint.levels is None:
        return len(np.unique(kernel))
    largest = np.abs(kernel).max(axis=constraint.across, keepdims=True)
    return len(np.unique(np.round(127 * kernel / np.where(largest > 0, largest, 1))))


def test_constraints_of_the_parent_are_not_changed_by_the_child() -> None:
    source = tiny_models.dense()
    context = tiny_models.context_for(source)
    pruned = STAGES["prune"].apply(_start(source), context)
    clustered = STAGES["cluster"].apply(pruned, context)
    assert all(constraint.codes is None for constraint in pruned.constraints.values())
    assert all(constraint.codes is not None for constraint in clustered.constraints.values())


def test_two_branches_of_one_source_do_not_meet() -> None:
    source = tiny_models.dense()
    context = tiny_models.context_for(source)
    first = STAGES["prune"].apply(_start(source), context)
    weights = [weight.copy() for weight in first.model.get_weights()]
    STAGES["cluster"].apply(_start(source), context)
    STAGES["qat"].apply(_start(source), context)
    assert all(np.array_equal(a, b) for a, b in zip(weights, first.model.get_weights(), strict=True))
    again = STAGES["prune"].apply(_start(source), context)
    assert all(np.array_equal(a, b) for a, b in zip(weights, again.model.get_weights(), strict=True))


def test_another_seed_trains_otherwise() -> None:
    source = tiny_models.dense()
    context = tiny_models.context_for(source)
    other = replace(context, settings=context.settings.model_copy(update={"seed": 2}))
    one, two = (STAGES["cluster"].apply(_start(source), each) for each in (context, other))
    assert not np.array_equal(one.model.get_weights()[0], two.model.get_weights()[0])


def test_depthwise_kernels_are_left_alone_unless_asked() -> None:
    source = tiny_models.separable()
    pruned = STAGES["prune"].apply(_start(source), tiny_models.context_for(source))
    assert set(pruned.constraints) == {"separable/pointwise_kernel", "out/kernel"}
    assert not (_kernels(pruned.model)["separable/depthwise_kernel"] == 0).any()


@pytest.mark.parametrize("stage", ["prune", "cluster"])
def test_spared_layers_promise_nothing_and_a_model_without_kernels_is_refused(stage: str) -> None:
    source = tiny_models.dense()
    made = STAGES[stage].apply(_start(source), tiny_models.context_for(source, spare=("out",)))
    assert set(made.constraints) == {"hidden/kernel"}
    assert len(np.unique(_kernels(made.model)["out/kernel"])) > 40
    with pytest.raises(ModelError, match=f"no kernel to {stage}"):
        STAGES[stage].apply(_start(source), tiny_models.context_for(source, spare=("*",)))


@pytest.mark.parametrize("schedule", ["polynomial", "constant"])
@pytest.mark.parametrize("steps", [{"epochs": 0, "min_steps": 0}, {"epochs": 1, "min_steps": 0}])
def test_pruning_reaches_its_sparsity_however_short_the_training(schedule: str, steps: dict[str, int]) -> None:
    source = tiny_models.dense()
    context = tiny_models.context_for(source, sparsity=0.7, schedule=schedule, batch_size=64, **steps)
    pruned = STAGES["prune"].apply(_start(source), context)
    for kernel in _kernels(pruned.model).values():
        assert (kernel == 0).sum() == round(0.7 * kernel.size)


def test_progress_is_told_after_every_step() -> None:
    source = tiny_models.dense()
    told: list[tuple[int, int, int, int, float]] = []
    context = replace(tiny_models.context_for(source), on_step=lambda *step: told.append(step))
    STAGES["cluster"].apply(_start(source), context)
    assert [step[0] for step in told] == list(range(1, 9))
    assert {step[1:4] for step in told} == {(8, 1, 2), (8, 2, 2)}
    assert all(np.isfinite(step[4]) for step in told)


def test_training_that_diverges_is_told_in_one_line() -> None:
    source = tiny_models.dense()
    source.set_weights([weight * np.float32(1e30) for weight in source.get_weights()])
    with pytest.raises(ModelError, match=r"training diverged.*lower the learning rate"):
        STAGES["cluster"].apply(_start(source), tiny_models.context_for(source))


def _fake_quant(source: Any) -> tuple[Any, tuple[str, ...]]:
    return with_fake_quant(source, tiny_models.context_for(source).data.train.x)


@pytest.mark.parametrize("name", ["SeparableConv2D", "nested", "shared", "Conv1D"])
def test_quantization_aware_training_starts_from_the_sources_weights(name: str) -> None:
    source = tiny_models.BUILDERS[name]()
    fake, notes = _fake_quant(source)
    assert notes == ()
    assert any(type(layer).__name__.startswith("QuantizeWrapper") for layer in fake.layers)
    found, own = _kernels(fake), _kernels(source)
    assert list(found) == list(own)
    assert all(np.array_equal(found[key], value) for key, value in own.items())
    # The fake-quant model shares no variable with its source.
    assert not {id(weight) for weight in fake.weights} & {id(weight) for weight in source.weights}


def test_a_constrained_kernel_without_counterpart_stops_the_stage() -> None:
    source = tiny_models.dense()
    constraints = Constraints().with_zeros({"hidden/kernel": np.ones((12, 16), bool)})
    with pytest.raises(ModelError, match="'hidden/kernel' is not to be found in the fake-quant model"):
        counterparts(source, {}, constraints)
    assert counterparts(source, {}, Constraints()).kernels == ()


def test_without_training_steps_a_model_is_only_quantized_and_said_so() -> None:
    source = tiny_models.dense()
    made = STAGES["qat"].apply(_start(source), tiny_models.context_for(source, epochs=0, min_steps=0))
    assert made.notes == ("no training was asked for: only quantized",)
    assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), made.model.get_weights(), strict=True))


def test_what_can_not_be_fake_quantized_is_named_with_its_kind() -> None:
    _, notes = _fake_quant(tiny_models.lstm())
    assert notes == ("quantized after training only, unknown to TFMOT: lstm (LSTM)",)


def test_post_training_quantization_changes_nothing() -> None:
    source = tiny_models.dense()
    piece = Workpiece(source, Constraints().with_zeros({"out/kernel": np.ones((16, 3), bool)}))
    made = STAGES["ptq"].apply(piece, tiny_models.context_for(source))
    assert made.model is source and made.constraints is piece.constraints


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_stage_says_what_it_does_and_what_it_uses(stage: str) -> None:
    module, defaults = STAGES[stage], StageSettings()
    assert module.describe(defaults)
    assert set(StageSettings.model_fields) >= module.USES
    assert FACTS[stage].trains or not module.USES


@pytest.mark.parametrize("clustering", ["tensor", "shared"])
def test_sparsity_preserving_clustering_leaves_only_survivors_to_describe(clustering: str) -> None:
    source = tiny_models.dense()
    context = tiny_models.context_for(source, sparsity=0.8, clusters=4, clustering=clustering)
    pruned = STAGES["prune"].apply(_start(source), context)
    both = STAGES["cluster"].apply(pruned, context)
    only = STAGES["cluster"].apply(Workpiece(copy_model(pruned.model), Constraints()), context)
    for key, kernel in _kernels(both.model).items():
        pruned_away = ~pruned.constraints[key].keep  # type: ignore[operator]
        assert _codes(kernel, both.constraints[key]) <= 4
        assert not kernel[pruned_away].any()
        # A survivor may end at the level zero of shared codes; by value the zeros are a cluster of their own.
        if clustering == "tensor":
            assert len(np.unique(kernel[kernel != 0])) <= 3
            assert np.array_equal(kernel == 0, pruned_away)
    # Without the promise nothing keeps the zeros: the pruned ones move with their cluster. (A gap between shared levels
    # can be wider than a short training goes.)
    if clustering == "tensor":
        assert any(np.count_nonzero(kernel) > (kernel.size * 0.2 + 1) for kernel in _kernels(only.model).values())


class Block(keras.layers.Layer):
    """Makes a layer without naming it, as most custom layers do."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(8, "relu")

    def call(self, x: Any) -> Any:
        return self.inner(x)


class Net(keras.Model):
    """A subclassed model whose configuration does not tell its name."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.out = Block(), keras.layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.out(self.block(x))

    def get_config(self) -> Any:
        return {}


@pytest.mark.parametrize("kind", ["subclassed", "custom layer"])
def test_layers_made_without_a_name_keep_their_promises_through_every_stage(kind: str) -> None:
    x = tiny_models.samples((12,))
    if kind == "subclassed":
        model = Net()
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(x, tiny_models.labels(x), verbose=0)
    else:
        model = keras.Sequential([keras.layers.Input((12,)), Block(), keras.layers.Dense(3)])
    source = as_source(model).model
    np.testing.assert_array_equal(source(x), model(x))
    context = tiny_models.context_for(source)
    piece = _start(source)
    for stage in ("prune", "cluster", "pcqat"):
        piece = STAGES[stage].apply(piece, context)
        kernels = _kernels(piece.model)
        assert set(kernels) == set(piece.constraints) == set(_kernels(source))
        assert all(constraint.keep is not None for constraint in piece.constraints.values())
        assert all(is_kept(kernels[key], constraint) for key, constraint in piece.constraints.items())


def test_a_subclassed_model_brings_its_loss_and_metric() -> None:
    model, x = Net(), tiny_models.samples((12,))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, x[:, :3], verbose=0)
    task, _ = find_task(as_source(model).model, tiny_models.data_of(x, x[:, :3]))
    assert (task.loss, task.metric.name) == ("mse", "mae")

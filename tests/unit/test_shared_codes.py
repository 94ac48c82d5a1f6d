from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import armopt
import tiny_models
from armopt.catalog.profiles import find_profile
from armopt.compress.backend import tf
from armopt.compress.constraints import Constraints, KernelConstraint, is_kept, project
from armopt.compress.kernel_projections import LevelsProjection
from armopt.compress.scales import scale_groups
from armopt.compress.shared_codes import share_codes, solve_levels
from armopt.core.errors import UsageError

SHAPES = st.sampled_from([("dense", (7, 4)), ("conv", (3, 2, 2, 5)), ("depthwise", (3, 3, 4, 2)), ("conv", (5, 1, 3))])


@st.composite
def shared(draw: st.DrawFn) -> tuple[Any, KernelConstraint]:
    """A kernel and its shared codes, pruned or not, some channels empty."""
    kind, shape = draw(SHAPES)
    kernel = draw(hnp.arrays(np.float32, shape, elements=st.floats(-4, 4, width=32, allow_subnormal=False)))
    keep = draw(st.none() | hnp.arrays(np.bool_, shape))
    groups = scale_groups(kind, shape)  # type: ignore[arg-type]
    assert groups is not None
    clusters = draw(st.integers(3, 20))
    made = share_codes(kernel, clusters, groups, keep)
    return kernel, KernelConstraint(keep, made.codes, clusters, made.levels, groups)


def as_int8(kernel: Any, constraint: KernelConstraint) -> Any:
    """Codes as the converter makes them: each group over its largest magnitude."""
    largest = np.abs(kernel).max(axis=constraint.across, keepdims=True)
    return np.round(127 * kernel.astype(np.float64) / np.where(largest > 0, largest, 1)).astype(int)


@given(shared())
def test_as_the_converter_rounds_it_the_whole_tensor_has_at_most_k_codes_and_zero_is_one(case: Any) -> None:
    kernel, constraint = case
    codes = as_int8(project(kernel, constraint), constraint)
    assert set(np.unique(codes)) <= set(constraint.levels.tolist())
    assert len(constraint.levels) <= constraint.clusters and constraint.levels[0] == 0
    assert {127, -127} <= set(constraint.levels.tolist())
    if constraint.keep is not None:
        assert not codes[~constraint.keep].any()


@given(shared())
def test_codes_are_what_the_file_will_hold_up_to_the_sign_of_a_channel(case: Any) -> None:
    kernel, constraint = case
    codes = as_int8(project(kernel, constraint), constraint)
    expected = constraint.levels[constraint.codes]
    for group in range(constraint.groups.size):
        members = np.broadcast_to(constraint.groups, kernel.shape) == group
        ours, theirs = expected[members], codes[members]
        assert not theirs.any() or np.array_equal(ours, theirs) or np.array_equal(ours, -theirs)


@given(shared(), st.integers(0, 2**32 - 1))
def test_projection_is_idempotent_and_keeps_zeros_and_codes_of_any_kernel(case: Any, seed: int) -> None:
    kernel, constraint = case
    other = (kernel + np.random.default_rng(seed).normal(size=kernel.shape)).astype(np.float32)
    once = project(other, constraint)
    assert is_kept(once, constraint) and (once.shape, once.dtype) == (kernel.shape, kernel.dtype)
    assert np.array_equal(project(once, constraint), once)
    if constraint.keep is not None:
        assert not once[~constraint.keep].any()


@given(shared())
def test_a_weight_moved_off_its_level_is_noticed(case: Any) -> None:
    kernel, constraint = case
    kept = project(kernel, constraint)
    moved = kept.copy()
    position = np.unravel_index(np.argmax(np.abs(moved)), moved.shape)
    moved[position] *= np.float32(0.99)
    across = (
        np.broadcast_to(constraint.groups, kernel.shape) == np.broadcast_to(constraint.groups, kernel.shape)[position]
    )
    alone = np.count_nonzero(kept[across]) == 1
    assert is_kept(kept, constraint)
    assert alone or not kept.any() or not is_kept(moved, constraint)


@settings(max_examples=30)
@given(shared())
def test_shared_codes_come_back_from_a_file_as_they_were(tmp_path_factory: Any, case: Any) -> None:
    kernel, constraint = case
    path = tmp_path_factory.mktemp("constraints") / "constraints.npz"
    Constraints({"a/b|c": constraint}).save(path)
    loaded = Constraints.load(path)["a/b|c"]
    for name in ("keep", "codes", "levels", "groups"):
        before, after = getattr(constraint, name), getattr(loaded, name)
        assert (before is None) == (after is None)
        assert before is None or (np.array_equal(before, after) and before.dtype == after.dtype)
    assert np.array_equal(project(kernel, constraint), project(kernel, loaded))


@settings(max_examples=25, deadline=None)
@given(shared(), st.integers(0, 2**32 - 1))
def test_a_compiled_step_ends_on_levels_with_the_codes_that_it_records(case: Any, seed: int) -> None:
    kernel, constraint = case
    variable = tf.Variable(kernel)
    projection = LevelsProjection(variable, constraint)
    projection.start()
    step = tf.function(projection.apply)
    noise = np.random.default_rng(seed)
    for _ in range(2):
        variable.assign_add(noise.normal(scale=0.3, size=kernel.shape).astype(np.float32))
        step()
        assert is_kept(variable.numpy(), projection.settled())
        assert set(np.unique(as_int8(variable.numpy(), constraint))) <= set(constraint.levels.tolist())


def test_small_steps_add_up_until_a_weight_moves_to_the_next_level() -> None:
    groups = scale_groups("dense", (3, 1))
    assert groups is not None
    levels = np.array([0, 64, -64, 127, -127], np.int16)
    constraint = KernelConstraint(codes=np.array([[3], [1], [0]], np.uint16), clusters=5, levels=levels, groups=groups)
    variable = tf.Variable(np.array([[1.0], [64 / 127], [0.0]], np.float32))
    projection = LevelsProjection(variable, constraint)
    projection.start()
    seen = []
    for _ in range(8):
        variable.assign_add(np.array([[0.0], [0.04], [0.0]], np.float32))
        projection.apply()
        seen.append(round(float(variable.numpy()[1, 0]) * 127))
    assert seen[0] == 64 and seen[-1] == 127
    assert projection.settled().codes is not None and projection.settled().codes.ravel().tolist() == [3, 3, 0]


@given(
    hnp.arrays(np.float64, 12, elements=st.floats(0, 127)),
    hnp.arrays(np.float64, 12, elements=st.floats(0.125, 1)),
)
def test_the_levels_are_the_best_of_all(values: Any, weights: Any) -> None:
    values = np.round(values * 8) / 8

    def cost(levels: Any) -> float:
        return float((weights * np.abs(values[:, None] - np.array(levels)).min(1) ** 2).sum())

    found = solve_levels(values, weights, 2)
    best = min(cost((0, middle, 127)) for middle in range(1, 127))
    assert len(found) == 3 and (found[0], found[-1]) == (0, 127)
    assert cost(found) == pytest.approx(best, abs=1e-6)


def test_few_integers_bound_the_number_of_levels() -> None:
    assert list(solve_levels(np.array([5.0]), np.array([1.0]), 500)) == list(range(128))


def test_two_clusters_are_too_few_to_share_and_are_refused_before_anything_is_trained() -> None:
    model, x = tiny_models.dense(), tiny_models.samples((12,))
    with pytest.raises(UsageError, match="2 clusters can't be shared"):
        armopt.cluster(model, (x, tiny_models.labels(x)), clusters=2)
    with pytest.raises(UsageError, match="2 clusters can't be shared"):
        find_profile("default").check_clusters({"clusters": 2})
    find_profile("default").check_clusters({"clusters": 2, "clustering": "tensor"})


def test_a_channel_of_one_outlier_gives_up_its_end_for_the_others() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(400, 3)).astype(np.float32)
    kernel[0] *= 4 / np.abs(kernel[0]) * 1.4
    groups = scale_groups("dense", kernel.shape)
    assert groups is not None
    made = share_codes(kernel, 7, groups, None)
    assert (made.scales < np.abs(kernel).max(0)).all()
    assert set(np.abs(made.levels[made.codes[0]])) == {127}


def test_groups_are_the_output_channels_of_the_layout() -> None:
    found = {
        kind: scale_groups(kind, shape)
        for kind, shape in [
            ("conv", (3, 3, 2, 5)),
            ("conv_transpose", (3, 3, 5, 2)),
            ("depthwise", (3, 3, 4, 2)),
            ("dense", (6, 5)),
        ]
    }  # type: ignore[arg-type]
    shapes = {kind: None if groups is None else groups.shape for kind, groups in found.items()}
    assert shapes == {"conv": (1, 1, 1, 5), "conv_transpose": (1, 1, 5, 1), "depthwise": (1, 1, 4, 2), "dense": (1, 5)}
    assert scale_groups("embedding", (5, 4)) is None and scale_groups("recurrent", (5, 16)) is None
    for groups in found.values():
        assert groups is not None and sorted(groups.ravel()) == list(range(groups.size))

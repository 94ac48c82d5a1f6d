from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from armopt.compress.constraints import Constraints, KernelConstraint, is_kept, project
from armopt.core.errors import UsageError

Case = tuple[Any, KernelConstraint]


@st.composite
def cases(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> Case:
    """A kernel and a promise about it: zeros, clusters, or clusters that leave the zeros apart."""
    shape = shape or draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    kernel = draw(hnp.arrays(np.float32, shape, elements=st.floats(-8, 8, width=32)))
    keep = draw(hnp.arrays(np.bool_, shape))
    codes = draw(hnp.arrays(np.uint16, shape, elements=st.integers(0, 6)))
    what = draw(st.sampled_from(["zeros", "clusters", "both"]))
    if what == "zeros":
        return kernel, KernelConstraint(keep=keep)
    if what == "clusters":
        return kernel, KernelConstraint(codes=codes, clusters=7)
    return kernel, KernelConstraint(keep, np.where(keep, codes + 1, 0).astype(np.uint16), 8)


@given(cases())
def test_a_projected_kernel_keeps_its_promise_shape_and_dtype(case: Case) -> None:
    kernel, constraint = case
    projected = project(kernel, constraint)
    assert is_kept(projected, constraint)
    assert (projected.shape, projected.dtype) == (kernel.shape, kernel.dtype)


@given(cases())
def test_projecting_twice_changes_nothing_more(case: Case) -> None:
    kernel, constraint = case
    once = project(kernel, constraint)
    assert np.array_equal(project(once, constraint), once)


@given(cases())
def test_promised_zeros_become_exactly_zero(case: Case) -> None:
    kernel, constraint = case
    if constraint.keep is not None:
        assert not project(kernel, constraint)[~constraint.keep].any()


@given(cases())
def test_weights_of_equal_code_get_one_value_so_no_more_values_than_codes(case: Case) -> None:
    kernel, constraint = case
    projected = project(kernel, constraint)
    if constraint.codes is None:
        assert set(np.unique(projected)) <= {*np.unique(kernel), 0.0}
        return
    for code in np.unique(constraint.codes):
        assert len(np.unique(projected[constraint.codes == code])) == 1
    assert len(np.unique(projected)) <= len(np.unique(constraint.codes))


@given(cases(), st.integers(0, 2**32 - 1))
def test_no_kernel_that_keeps_the_promise_is_nearer(case: Case, seed: int) -> None:
    kernel, constraint = case
    noise = np.random.default_rng(seed).normal(size=kernel.shape).astype(np.float32)
    other = project(kernel + noise, constraint).astype(np.float64)
    distance = np.square(project(kernel, constraint).astype(np.float64) - kernel).sum()
    assert distance <= np.square(other - kernel).sum() * (1 + 1e-6) + 1e-6


def test_a_broken_promise_is_noticed() -> None:
    keep = np.array([True, False])
    assert not is_kept(np.array([1.0, 1e-30]), KernelConstraint(keep=keep))
    codes = np.array([3, 1, 3], np.uint16)
    assert not is_kept(np.array([1.0, 2.0, 1.0 + 1e-7]), KernelConstraint(codes=codes, clusters=4))
    assert is_kept(np.array([1.0, 2.0, 1.0]), KernelConstraint(codes=codes, clusters=4))


@settings(max_examples=40)
@given(st.dictionaries(st.text("ab/|_ é", min_size=1, max_size=12), cases(), max_size=3))
def test_promises_come_back_from_a_file_as_they_were(tmp_path_factory: Any, by_key: dict[str, Case]) -> None:
    path = tmp_path_factory.mktemp("constraints") / "constraints.npz"
    saved = Constraints({key: constraint for key, (_, constraint) in by_key.items()})
    saved.save(path)
    loaded = Constraints.load(path)
    assert set(loaded) == set(saved)
    for key, (kernel, before) in by_key.items():
        after = loaded[key]
        assert after.clusters == before.clusters
        for old, new in ((before.keep, after.keep), (before.codes, after.codes)):
            assert (old is None) == (new is None)
            assert old is None or (new is not None and new.dtype == old.dtype and np.array_equal(old, new))
        assert np.array_equal(project(kernel, before), project(kernel, after))


def test_a_constraints_file_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "constraints.npz"
    np.savez(path, **{"keep|layer/kernel": np.array([{"a": 1}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        Constraints.load(path)


def test_later_zeros_add_to_earlier_ones() -> None:
    first = Constraints().with_zeros({"k": np.array([True, False, True])})
    both = first.with_zeros({"k": np.array([False, True, True])})
    assert both["k"].keep is not None and both["k"].keep.tolist() == [False, False, True]
    assert first["k"].keep is not None and first["k"].keep.tolist() == [True, False, True]


def test_clusters_leave_zeros_and_other_kernels_as_they_are() -> None:
    zeros = Constraints().with_zeros({"a": np.array([True, False]), "b": np.array([True, True])})
    both = zeros.with_codes({"a": np.array([1, 0], np.uint16)}, 4)
    assert both["a"].keep is zeros["a"].keep and both["a"].clusters == 4 and both["a"].zero_is_pinned
    assert both["b"].codes is None
    assert zeros["a"].codes is None


def test_clustered_kernels_can_not_be_pruned_afterwards() -> None:
    clustered = Constraints().with_codes({"k": np.zeros(2, np.uint16)}, 2)
    with pytest.raises(UsageError, match="clustered already; prune before clustering"):
        clustered.with_zeros({"k": np.ones(2, bool)})

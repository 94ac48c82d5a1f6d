from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tiny_models
from armopt.catalog.profiles import check_overrides
from armopt.compress.constraints import Constraints, is_kept
from armopt.compress.kernels import kernels_of
from armopt.compress.stages import STAGES, Workpiece
from armopt.compress.stages.patterns import masks
from armopt.core.errors import UsageError
from armopt.core.pattern import Blocks, NofM, Unstructured, parse_pattern
from armopt.core.profile import StageSettings

MATRICES = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=13), elements=st.floats(-8, 8, width=32)
)
SHARES = st.floats(0, 1)
PATTERNS = st.one_of(
    st.just(Unstructured()),
    st.builds(Blocks, st.integers(1, 5), st.integers(1, 5)),
    st.integers(2, 6).flatmap(lambda group: st.builds(NofM, st.integers(1, group - 1), st.just(group))),
)


def _masks(weights: dict[str, Any], *how: Any) -> dict[str, Any]:
    return masks(weights, {key: np.ones(matrix.shape, bool) for key, matrix in weights.items()}, *how)


def _mask(matrix: Any, *how: Any) -> Any:
    return _masks({"one": matrix}, *how)["one"]


@given(MATRICES, SHARES)
def test_unstructured_pruning_zeroes_exactly_the_share_that_was_asked_for(matrix: Any, share: float) -> None:
    keep = _mask(matrix, Unstructured(), share)
    assert (~keep).sum() == round(share * matrix.size)
    if keep.any() and not keep.all():
        assert np.abs(matrix[~keep]).max() <= np.abs(matrix[keep]).min()


@given(MATRICES, st.integers(1, 5), st.integers(1, 5), SHARES)
def test_a_block_is_kept_or_zero_as_a_whole_and_the_weakest_are_zero(
    matrix: Any, rows: int, columns: int, share: float
) -> None:
    keep = _mask(matrix, Blocks(rows, columns), share)
    zeroed, kept = [], []
    for top in range(0, matrix.shape[0], rows):
        for left in range(0, matrix.shape[1], columns):
            block = np.s_[top : top + rows, left : left + columns]
            assert keep[block].all() or not keep[block].any()
            (kept if keep[block].all() else zeroed).append(np.abs(matrix[block].astype(np.float64)).mean())
    assert len(zeroed) == round(share * (len(zeroed) + len(kept)))
    if zeroed and kept:
        assert max(zeroed) <= min(kept) + 1e-9


@given(MATRICES, st.integers(2, 8).flatmap(lambda m: st.tuples(st.integers(1, m - 1), st.just(m))))
def test_of_each_group_of_m_inputs_exactly_the_n_largest_are_kept(matrix: Any, pattern: tuple[int, int]) -> None:
    kept, group = pattern
    keep = _mask(matrix, NofM(kept, group), 1.0)
    for start in range(0, matrix.shape[1], group):
        held, sizes = keep[:, start : start + group], np.abs(matrix[:, start : start + group])
        # A last group that is cut keeps what it would if zeros filled it up.
        assert np.all(held.sum(1) == min(kept, held.shape[1]))
        for row_held, row in zip(held, sizes, strict=True):
            if not row_held.all():
                assert row[row_held].min() >= row[~row_held].max()


@given(MATRICES, PATTERNS, st.lists(SHARES, min_size=2, max_size=5), st.sampled_from(["layer", "global"]), st.data())
def test_what_is_masked_once_stays_masked_however_the_others_train_on(
    matrix: Any, pattern: Any, shares: list[float], scope: str, data: Any
) -> None:
    weights = {"one": matrix, "two": matrix[::-1] / 2}
    keep = {key: np.ones(matrix.shape, bool) for key in weights}
    for share in sorted(shares):
        before = keep
        keep = masks(weights, before, pattern, share, scope)  # type: ignore[arg-type]
        assert all(not (keep[key] & ~before[key]).any() for key in weights)
        # Training moves what is not masked, to exactly zero too; the projection zeroes the rest.
        moved = data.draw(hnp.arrays(np.float32, matrix.shape, elements=st.sampled_from([-1.0, 0.0, 0.5, 3.0])))
        weights = {key: np.where(keep[key], moved, 0) for key in weights}
    for key in weights:
        total = _masks({key: matrix}, pattern, max(shares))[key]
        if scope == "layer":
            assert (~keep[key]).sum() == (~total).sum() or isinstance(pattern, Blocks)


@given(st.lists(MATRICES, min_size=1, max_size=4), SHARES)
def test_one_global_threshold_parts_all_kernels_but_cuts_none_off(matrices: list[Any], share: float) -> None:
    weights = {str(number): matrix for number, matrix in enumerate(matrices)}
    keep = _masks(weights, Unstructured(), share, "global")
    total = sum(matrix.size for matrix in matrices)
    assert sum(int((~mask).sum()) for mask in keep.values()) == min(round(share * total), total - len(matrices))
    assert all(mask.any() for mask in keep.values())
    zeroed = [np.abs(matrix[~keep[key]]).max() for key, matrix in weights.items() if not keep[key].all()]
    # The largest of each kernel is kept whatever it is, so it says nothing about the threshold.
    kept = [np.sort(np.abs(matrix[keep[key]]))[:-1] for key, matrix in weights.items()]
    smallest = [values[0] for values in kept if len(values)]
    if zeroed and smallest:
        assert max(zeroed) <= min(smallest)


def test_a_global_threshold_takes_more_from_a_kernel_of_small_weights() -> None:
    values = np.random.default_rng(1).normal(size=(20, 20))
    keep = _masks({"small": values / 10, "large": values}, Unstructured(), 0.5, "global")
    assert (~keep["small"]).mean() > 0.85 and (~keep["large"]).mean() < 0.15


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("unstructured", Unstructured()),
        ("block:1x4", Blocks(1, 4)),
        ("block:16x1", Blocks(16, 1)),
        ("2:4", NofM(2, 4)),
        ("1:16", NofM(1, 16)),
    ],
)
def test_a_pattern_is_read_as_it_is_written(text: str, pattern: Any) -> None:
    assert parse_pattern(text) == pattern
    assert StageSettings.model_validate({"pattern": text}).pruning == pattern


@pytest.mark.parametrize(
    "text", ["", "block", "block:4", "block:0x4", "block:1x4x2", "2/4", "0:4", "4:4", "5:4", "2:4 "]
)
def test_a_wrong_pattern_is_told_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_overrides({"pattern": text})
    assert "use 'unstructured', 'block:RxC'" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sparsity": 0.6}, "prune to 60% zeros, "),
        ({"sparsity": 0.6, "scope": "global"}, "prune to 60% zeros over all kernels together, "),
        ({"sparsity": 0.6, "pattern": "block:1x4"}, "prune to 60% zeros in blocks of 1x4, "),
        ({"sparsity": 0.9, "pattern": "2:4", "scope": "global"}, "prune to 50% zeros as 2:4, "),
    ],
)
def test_the_stage_says_what_its_settings_make_of_the_model(settings: dict[str, Any], words: str) -> None:
    assert STAGES["prune"].describe(StageSettings.model_validate(settings)).startswith(words)


@pytest.mark.parametrize("stage", ["prune", "cluster"])
def test_the_store_tells_nodes_apart_by_which_layers_are_left_out(stage: str) -> None:
    assert {"first_layer", "last_layer", "spare", "depthwise"} <= STAGES[stage].USES
    assert stage == "cluster" or {"pattern", "scope", "schedule", "sparsity"} <= STAGES["prune"].USES


@pytest.mark.parametrize(
    ("name", "pattern", "schedule"),
    [
        ("Conv2D", "unstructured", "polynomial"),
        ("Conv2D", "block:1x4", "polynomial"),
        ("SeparableConv2D", "block:1x4", "constant"),
        ("SeparableConv2D", "block:4x1", "polynomial"),
        ("Conv2D", "2:4", "polynomial"),
        ("SeparableConv2D", "1:4", "polynomial"),
    ],
)
def test_a_trained_model_has_its_zeros_where_the_pattern_wants_them(name: str, pattern: str, schedule: str) -> None:
    source = tiny_models.BUILDERS[name]()
    context = tiny_models.context_for(source, sparsity=0.75, pattern=pattern, schedule=schedule, depthwise=True)
    pruned = STAGES["prune"].apply(Workpiece(source, Constraints()), context)
    wanted = parse_pattern(pattern)
    for kernel in kernels_of(pruned.model):
        assert is_kept(kernel.variable.numpy(), pruned.constraints[kernel.key])
        matrix = kernel.as_matrix(kernel.variable.numpy())
        if isinstance(wanted, Unstructured):
            assert (matrix == 0).sum() == round(0.75 * matrix.size)
        elif isinstance(wanted, Blocks):
            blocks = -(-matrix.shape[0] // wanted.rows) * -(-matrix.shape[1] // wanted.columns)
            starts = (
                np.arange(0, size, step) for size, step in zip(matrix.shape, (wanted.rows, wanted.columns), strict=True)
            )
            rows, columns = starts
            live = np.add.reduceat(np.add.reduceat(matrix != 0, rows, axis=0), columns, axis=1)
            whole = np.add.reduceat(np.add.reduceat(np.ones(matrix.shape, int), rows, axis=0), columns, axis=1)
            assert np.all((live == 0) | (live == whole)) and (live == 0).sum() == round(0.75 * blocks)
        else:
            for start in range(0, matrix.shape[1], wanted.group):
                group = matrix[:, start : start + wanted.group]
                assert np.all((group != 0).sum(1) == min(wanted.kept, group.shape[1]))


def test_a_global_threshold_meets_the_sparsity_over_all_kernels_and_says_how_it_fell() -> None:
    source = tiny_models.conv2d()
    context = tiny_models.context_for(source, sparsity=0.6, scope="global")
    pruned = STAGES["prune"].apply(Workpiece(source, Constraints()), context)
    kernels = [kernel.variable.numpy() for kernel in kernels_of(pruned.model)]
    total = sum(kernel.size for kernel in kernels)
    assert sum(int((kernel == 0).sum()) for kernel in kernels) == round(0.6 * total)
    assert len({float((kernel == 0).mean()) for kernel in kernels}) > 1
    assert len(pruned.notes) == 1 and pruned.notes[0].startswith("one threshold for all: from ")


def test_zeros_that_an_ancestor_promised_stay_while_more_are_added() -> None:
    source = tiny_models.dense()
    once = STAGES["prune"].apply(Workpiece(source, Constraints()), tiny_models.context_for(source, sparsity=0.4))
    twice = STAGES["prune"].apply(once, tiny_models.context_for(source, sparsity=0.8))
    for kernel in kernels_of(twice.model):
        first, second = once.constraints[kernel.key].keep, twice.constraints[kernel.key].keep
        assert first is not None and second is not None and not (second & ~first).any()
        assert (kernel.variable.numpy() == 0).sum() == round(0.8 * second.size)


@pytest.mark.parametrize("stage", ["prune", "cluster"])
@pytest.mark.parametrize(
    ("left", "touched"),
    [
        ({"first_layer": False}, {"second/kernel", "out/kernel"}),
        ({"last_layer": False}, {"conv/kernel", "second/kernel"}),
        ({"first_layer": False, "last_layer": False}, {"second/kernel"}),
        ({"first_layer": False, "spare": ("second",)}, {"out/kernel"}),
    ],
)
def test_first_and_last_layers_are_treated_as_the_profile_says(
    stage: str, left: dict[str, Any], touched: set[str]
) -> None:
    source = tiny_models.conv2d()
    made = STAGES[stage].apply(Workpiece(source, Constraints()), tiny_models.context_for(source, **left))
    assert set(made.constraints) == touched
    for kernel in kernels_of(made.model):
        values = kernel.variable.numpy()
        if kernel.key in touched:
            assert is_kept(values, made.constraints[kernel.key])
        else:
            assert values.all() and len(np.unique(values)) == values.size

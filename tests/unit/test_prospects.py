from __future__ import annotations

import pytest

from armopt.catalog.devices import find_device
from armopt.core.stages import TRAINING_STAGES
from armopt.search.prospects import gain_over_ptq, why_hopeless

PI4 = find_device("pi4")
ALL_LEAVES = (
    "qat",
    "prune/ptq",
    "prune/pqat",
    "cluster/ptq",
    "cluster/cqat",
    "prune/cluster/ptq",
    "prune/cluster/pcqat",
)


@pytest.mark.parametrize("path", ALL_LEAVES)
def test_no_leaf_of_the_seven_techniques_moves_the_latency_of_a_cortex_a(path: str) -> None:
    reason = why_hopeless(PI4, path, frozenset({"latency"}), TRAINING_STAGES)
    assert reason is not None
    assert "latency" in reason
    assert "pi4" in reason


@pytest.mark.parametrize("path", [path for path in ALL_LEAVES if path != "qat"])
def test_every_pruned_or_clustered_leaf_may_meet_a_size(path: str) -> None:
    assert why_hopeless(PI4, path, frozenset({"size"}), TRAINING_STAGES) is None


def test_quantization_aware_training_alone_can_win_accuracy_but_not_size() -> None:
    assert gain_over_ptq(PI4, "qat", TRAINING_STAGES) == {"accuracy"}
    assert why_hopeless(PI4, "qat", frozenset({"accuracy"}), TRAINING_STAGES) is None
    assert why_hopeless(PI4, "qat", frozenset({"size", "accuracy"}), TRAINING_STAGES) is not None


def test_the_reason_says_what_zeros_do_instead() -> None:
    reason = why_hopeless(PI4, "prune/ptq", frozenset({"latency"}), TRAINING_STAGES)
    assert reason is not None
    assert "zeros" in reason


@pytest.mark.parametrize("leaf", ["16x8", "dynamic", "float16"])
def test_leaves_of_wider_numbers_are_built_for_accuracy_and_skipped_for_latency_or_size(leaf: str) -> None:
    assert why_hopeless(PI4, leaf, frozenset({"accuracy"}), TRAINING_STAGES) is None
    for criterion in ("latency", "size"):
        assert why_hopeless(PI4, leaf, frozenset({criterion}), TRAINING_STAGES) is not None


def test_a_sparse_leaf_is_built_for_instructions_on_cores_without_dot_product_and_skipped_elsewhere() -> None:
    missed = frozenset({"instructions"})
    assert why_hopeless(PI4, "prune/sparse", missed, TRAINING_STAGES) is None
    assert why_hopeless(PI4, "prune/ptq", missed, TRAINING_STAGES) is not None
    reason = why_hopeless(find_device("pi5"), "prune/sparse", missed, TRAINING_STAGES)
    assert reason is not None and "dot products" in reason


def test_a_further_leaf_below_pruning_is_told_by_both() -> None:
    reason = why_hopeless(PI4, "prune/16x8", frozenset({"latency"}), TRAINING_STAGES)
    assert reason is not None and "zeros" in reason and "16-bit activations" in reason

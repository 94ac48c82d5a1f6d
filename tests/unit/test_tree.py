from __future__ import annotations

import pytest

from armopt.catalog.profiles import find_profile
from armopt.core.errors import UsageError
from armopt.core.stages import FURTHER_LEAVES
from armopt.core.tree import ROOT, Tree, ancestors_of, parent_of, stage_of, with_further_leaves

INNER = {"prune", "cluster"}
PRESERVES = {"pqat": frozenset({"prune"}), "pcqat": frozenset({"prune", "cluster"})}
LEAVES = {"ptq", "qat", "pqat", "cqat", "pcqat"}
TRAINS = frozenset({"prune", "cluster", "qat", "pqat", "cqat", "pcqat"})


def default_tree() -> Tree:
    return Tree(find_profile("default").tree, LEAVES, INNER, PRESERVES)


def test_the_default_tree_has_twelve_nodes_and_eight_leaves() -> None:
    tree = default_tree()
    assert (len(tree.paths), len(tree.leaves)) == (12, 8)
    assert tree.paths[0] == ROOT


def test_parents_stand_before_their_children() -> None:
    paths = default_tree().paths
    assert all(paths.index(parent_of(path)) < paths.index(path) for path in paths[1:])


def test_children_and_parents_agree() -> None:
    tree = default_tree()
    assert {child for path in tree.paths for child in tree.children_of(path)} == set(tree.paths[1:])


def test_plain_quantization_comes_first_and_more_training_later() -> None:
    order = list(default_tree().cheapest_first(TRAINS))
    assert order[0] == "ptq"
    assert order.index("prune/ptq") < order.index("prune/pqat") < order.index("prune/cluster/pcqat")
    assert sorted(order) == sorted(default_tree().leaves)


def test_a_path_tells_stage_parent_and_ancestors() -> None:
    path = "prune/cluster/pcqat"
    assert (stage_of(path), parent_of(path), ancestors_of(path)) == (
        "pcqat",
        "prune/cluster",
        ("prune", "prune/cluster"),
    )
    assert (parent_of("ptq"), ancestors_of("ptq")) == (ROOT, ())


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        (["ptq", "ptq"], "twice"),
        (["prune/ptq"], "without its parent 'prune'"),
        (["ptq", "ptq/prune", "ptq/prune/ptq"], "below 'ptq', which is already quantized"),
        (["prune"], "no quantizing leaf"),
        ([], "no quantizing leaf"),
        (["distil"], "unknown stage 'distil'"),
        (["pqat"], "no prune to preserve"),
        (["prune", "prune/pcqat"], "no cluster to preserve"),
    ],
)
def test_a_tree_that_makes_no_sense_is_refused(paths: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Tree(paths, LEAVES, INNER, PRESERVES)


def test_further_leaves_stand_beside_every_ptq_and_nowhere_twice() -> None:
    paths = with_further_leaves(find_profile("default").tree, ("16x8", "float16"))
    added = set(paths) - set(find_profile("default").tree)
    assert added == {
        f"{where}{leaf}" for where in ("", "prune/", "cluster/", "prune/cluster/") for leaf in ("16x8", "float16")
    }
    assert with_further_leaves(paths, ("16x8",)) == paths
    assert len(Tree(paths).leaves) == 8 + 8


@pytest.mark.parametrize(
    ("paths", "leaves", "complaint"),
    [
        (["ptq"], ("int4",), "'int4' is not a further leaf; known: 16x8, dynamic, float16, sparse"),
        (["ptq"], ("qat",), "'qat' is not a further leaf"),
        (["qat"], ("float16",), "no 'ptq'"),
    ],
)
def test_leaves_that_can_not_be_added_are_refused(paths: list[str], leaves: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        with_further_leaves(paths, leaves)


def test_without_further_leaves_a_tree_stays_as_it_is() -> None:
    assert with_further_leaves(["qat"], ()) == ("qat",)
    assert FURTHER_LEAVES == ("16x8", "dynamic", "float16", "sparse")


def test_a_leaf_that_lives_on_zeros_stands_only_below_pruning() -> None:
    added = set(with_further_leaves(find_profile("default").tree, ("sparse",))) - set(find_profile("default").tree)
    assert added == {"prune/sparse", "prune/cluster/sparse"}
    with pytest.raises(UsageError, match="no 'ptq' below 'prune' that 'sparse' could stand beside; add 'prune'"):
        with_further_leaves(["ptq", "cluster", "cluster/ptq"], ("sparse",))
    with pytest.raises(UsageError, match="'sparse' has no prune to preserve; put it below 'prune'"):
        Tree(["sparse"])


def test_fp16_is_another_name_of_float16() -> None:
    assert with_further_leaves(["ptq"], ("fp16", "float16")) == ("ptq", "float16")
    with pytest.raises(UsageError, match="unknown stage 'fp16'; it is called 'float16'"):
        Tree(["fp16"])

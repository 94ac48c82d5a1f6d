from __future__ import annotations

import pytest

from armopt.catalog.profiles import find_profile
from armopt.core.errors import UsageError
from armopt.core.tree import ROOT, Tree, ancestors_of, parent_of, stage_of

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

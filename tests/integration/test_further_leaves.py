"""Leaves of other numbers, from a profile's tree to an audited and scored file in the store."""

from __future__ import annotations

import numpy as np
import pytest

import tiny_models
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.models import as_source
from armopt.compress.task import find_task
from armopt.core.events import silent
from armopt.core.profile import Profile
from armopt.core.tree import Tree
from armopt.search.nodes import NodeBuilder
from armopt.search.store import Store

TREE = ("ptq", "prune", "prune/ptq", "prune/cluster", "prune/cluster/ptq")
FAST = {"epochs": 1, "min_steps": 8, "batch_size": 16, "sparsity": 0.6, "clusters": 8}


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> NodeBuilder:
    model = tiny_models.conv2d()
    x = tiny_models.samples((8, 8, 3))
    task, data = find_task(model, tiny_models.data_of(x, tiny_models.labels(x)))
    profile = Profile(name="mine", tree=TREE, common=FAST).with_leaves(("16x8", "dynamic", "float16"))
    assert len(Tree(profile.tree).leaves) == 12
    store = Store(tmp_path_factory.mktemp("store"))
    return NodeBuilder(as_source(model), data, task, profile, {}, False, store, silent)


@pytest.mark.parametrize("below", ["", "prune/", "prune/cluster/"])
@pytest.mark.parametrize(
    ("leaf", "activations"), [("ptq", np.int8), ("16x8", np.int16), ("dynamic", np.float32), ("float16", np.float32)]
)
def test_every_leaf_ends_in_a_scored_file_that_holds_what_its_ancestors_promised(
    builder: NodeBuilder, below: str, leaf: str, activations: type
) -> None:
    built = builder.build(f"{below}{leaf}")
    assert HostInterpreter(built.tflite).inputs[0]["dtype"] == activations
    assert 0 <= built.metrics["int8_test"] <= 1
    assert built.audit is not None and built.audit.unproven == ()
    assert built.audit.sparsity == pytest.approx(0.6, abs=0.05) if below else built.audit.sparsity < 0.1
    said = " ".join(built.notes)
    assert ("stay float32" in said) == (leaf == "dynamic")
    assert ("in each channel, not in each tensor" in said) == (leaf == "float16" and "cluster" in below)


def test_the_formats_differ_and_each_is_kept_under_its_own_key(builder: NodeBuilder) -> None:
    paths = ["prune/ptq", "prune/16x8", "prune/dynamic", "prune/float16"]
    found = {path: builder.build(path) for path in paths}
    assert len({builder.key(path) for path in paths}) == 4
    assert len({built.audit.sha256 for built in found.values() if built.audit}) == 4
    assert all(builder.build(path).cached for path in paths)

"""Leaves of other numbers, from a profile's tree to an audited and scored file in the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparse_models
import tiny_models
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.models import as_source
from armopt.compress.task import find_task
from armopt.core.errors import ModelError
from armopt.core.events import silent
from armopt.core.profile import Profile
from armopt.core.tree import Tree
from armopt.search.drafts import UNSCORED, UNTRAINED
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


def _builder_of(model: object, store: Store, sparsity: float) -> NodeBuilder:
    x = tiny_models.samples((32, 32, 3))
    task, data = find_task(model, tiny_models.data_of(x, tiny_models.labels(x)))
    profile = Profile(name="mine", tree=TREE, common=FAST | {"sparsity": sparsity}).with_leaves(("sparse", "fp16"))
    return NodeBuilder(as_source(model), data, task, profile, {}, False, store, silent)


def test_a_sparse_leaf_is_scored_and_holds_its_zeros_through_clustering(tmp_path: Path) -> None:
    builder = _builder_of(sparse_models.mobile(), Store(tmp_path), 0.8)
    for path in ("prune/sparse", "prune/cluster/sparse"):
        built = builder.build(path)
        assert built.audit is not None and built.audit.unproven == () and 0 <= built.metrics["int8_test"] <= 1
        promised = [layer for layer in built.audit.layers if layer.zeros_promised is not None]
        assert len(promised) == 4 and all(layer.sparsity >= 0.78 for layer in promised)
        assert all(layer.codes_promised == (8 if "cluster" in path else None) for layer in promised)
    plain = builder.build("prune/float16")
    assert plain.audit is not None and plain.audit.unproven == ()


@pytest.mark.parametrize(
    ("channels_around", "sparsity", "complaint"),
    [((3, ((0, 1), (0, 1))), 0.8, "ZeroPadding2D"), ((3, 1), 0.5, "two thirds")],
)
def test_what_would_run_dense_is_known_before_anything_is_trained(
    tmp_path: Path, channels_around: tuple[int, object], sparsity: float, complaint: str
) -> None:
    builder = _builder_of(sparse_models.mobile(*channels_around), Store(tmp_path), sparsity)
    with pytest.raises(ModelError, match=complaint):
        builder.apart(UNSCORED, UNTRAINED).build("prune/sparse")

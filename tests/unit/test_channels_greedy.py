from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armopt.compress.backend import keras
from armopt.compress.channels.greedy import least_worth_first
from armopt.compress.channels.groups import ChannelGraph

layers = keras.layers
BRANCHES = ("expand", "expand_1", "expand_2")


@pytest.fixture(scope="module")
def graph() -> ChannelGraph:
    """Three inverted residual blocks: every branch has 32 channels of its own, and all write to and read one stream."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1, name="stream")(inputs)
    for name in BRANCHES:
        y = layers.Conv2D(32, 1, name=name)(x)
        y = layers.Conv2D(32, 1, name=name.replace("expand", "project"))(y)
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    return ChannelGraph(keras.Model(inputs, layers.Dense(3, name="classes")(x)))


def _counts(graph: ChannelGraph, share: float, scores: Any = None) -> dict[str, int]:
    importance = scores or {group.name: np.ones(len(group)) for group in graph.groups}
    budget = int(graph.macs.total(graph.keep({})) * share)
    kept = least_worth_first(graph, graph.groups, importance, {}, 4, budget)
    return {name: int(stays.sum()) for name, stays in kept.items()}


def test_of_equal_importance_branches_go_alike_before_the_stream_that_all_of_them_share(graph: ChannelGraph) -> None:
    counts = _counts(graph, 0.8)
    branches = [counts[name] for name in BRANCHES]
    assert max(branches) - min(branches) <= 4, "a step at most between equals"
    assert max(branches) < counts["stream"]


def _distinct(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return rng.permutation(32) + rng.uniform(0.5, 1, 32)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 0.9), power=st.integers(-20, 20))
def test_the_scale_of_a_groups_scores_decides_nothing(graph: ChannelGraph, seed: int, share: float, power: int) -> None:
    rng = np.random.default_rng(seed)
    scores = {group.name: _distinct(rng) for group in graph.groups}
    # A power of two is exact in floating point, so the order has no ties to break otherwise.
    scaled = {**scores, "expand_1": scores["expand_1"] * 2.0**power}
    assert _counts(graph, share, scores) == _counts(graph, share, scaled)


def test_channels_that_nothing_needs_go_first_and_one_step_of_them_stays(graph: ChannelGraph) -> None:
    scores = {group.name: np.ones(32) for group in graph.groups}
    scores["expand"] = np.zeros(32)
    counts = _counts(graph, 0.75, scores)
    assert counts["expand"] == 4 and set(counts.values()) <= {4, 32, 28}

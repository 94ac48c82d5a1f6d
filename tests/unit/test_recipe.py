from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.catalog.profiles import find_profile
from armopt.core.search_record import Sensitivity
from armopt.core.tree import Tree
from armopt.search.strengths.recipe import on_the_way, recipe_of, scheduled, with_qat
from armopt.search.strengths.space import Space

PLAN = find_profile("default")
KNOWN = [
    Sensitivity(name=f"conv{i}", kind=kind, strength=0.5, drop=0.1 * i)  # type: ignore[arg-type]
    for kind in ("channels", "prune", "cluster")
    for i in range(5)
]
FULL: dict[str, Any] = {
    "width": 0.5, "width_tilt": 0.0, "sparsity": 0.6, "sparsity_tilt": 0.0, "clusters": 16, "clusters_tilt": 0.0,
    "spared": 0, "qat": True, "epochs": 1.0, "distill": 0.5,
}  # fmt: skip


def _unasked() -> list[Sensitivity]:
    raise AssertionError("nothing in these strengths depends on it, and measuring it takes a while")


def test_the_path_of_a_recipe_has_the_stages_that_the_strengths_turn_on_and_a_leaf_that_preserves_them() -> None:
    cases = {
        "channels/prune/cluster/pcqat": FULL,
        "prune/cluster/pcqat": {**FULL, "width": 1.0},
        "channels/cluster/cqat": {**FULL, "sparsity": 0.25},
        "channels/prune/ptq": {**FULL, "clusters": 0, "qat": False},
        "qat": {**FULL, "width": 1.0, "sparsity": 0.25, "clusters": 0},
    }
    for path, strengths in cases.items():
        made = recipe_of(strengths, PLAN, _unasked)
        assert made.path == path
        assert Tree(made.profile.tree).leaves == (path,)


def test_a_tilt_takes_most_from_the_least_sensitive_and_none_treats_all_alike() -> None:
    tilted = recipe_of(
        {**FULL, "width_tilt": 1.0, "sparsity_tilt": 1.0, "clusters_tilt": 1.0}, PLAN, lambda: KNOWN
    ).profile
    widths = tilted.settings_of("channels").widths
    zeros = tilted.settings_of("channels/prune").layer_sparsity
    codes = tilted.settings_of("channels/prune/cluster").layer_clusters
    names = [f"conv{i}" for i in range(5)]
    assert [widths[n] for n in names] == sorted(widths.values()) and widths["conv2"] == 0.5
    assert [zeros[n] for n in names] == sorted(zeros.values(), reverse=True) and zeros["conv2"] == pytest.approx(0.6)
    assert [codes[n] for n in names] == [8, 11, 16, 23, 32]
    level = recipe_of(FULL, PLAN, _unasked).profile
    assert not level.settings_of("channels").widths and not level.settings_of("channels/prune").layer_sparsity


def test_the_most_sensitive_layers_are_spared() -> None:
    profile = recipe_of({**FULL, "spared": 2}, PLAN, lambda: KNOWN).profile
    assert profile.settings_of("channels/prune").spare == ("conv4", "conv3")
    assert profile.settings_of("channels/prune/cluster").spare == ("conv4", "conv3")


def test_a_strength_that_the_user_named_holds_for_all_trials() -> None:
    space = Space(1.0, named={"sparsity": 0.2, "epochs": 1.0})
    assert {"sparsity", "sparsity_tilt", "epochs"}.isdisjoint(space.distributions())
    made = recipe_of({**FULL, "sparsity": 0.9}, PLAN, _unasked, {"sparsity": 0.2})
    assert made.profile.settings_of("channels/prune").sparsity == 0.2


def test_a_schedule_is_a_share_of_the_training_and_no_share_trains_nothing() -> None:
    recipe = recipe_of({**FULL, "epochs": 2.0}, PLAN.with_settings({"epochs": 4, "min_steps": 100}), _unasked)
    brief, none = scheduled(recipe, 0.25), scheduled(recipe, 0.0)
    for path in recipe.profile.tree:
        assert (brief.settings_of(path).epochs, brief.settings_of(path).min_steps) == (2, 50)
        assert (none.settings_of(path).epochs, none.settings_of(path).min_steps) == (0, 0)
        assert none.settings_of(path).distill == 0.0


@given(st.floats(1 / 64, 1.0), st.sets(st.sampled_from(["channels", "prune", "cluster"])))
def test_the_first_guesses_lie_in_the_space_however_narrow_it_is(widest: float, stages: set[str]) -> None:
    space = Space(widest, frozenset(stages))
    assert space.first_guesses() and all(space.holds(guess) for guess in space.first_guesses())


def test_one_layer_at_least_is_not_spared() -> None:
    most = {layers: Space(1.0, layers=layers).distributions().get("spared") for layers in (1, 2, 9)}
    assert most[1] is None and getattr(most[2], "high", None) == 1 and getattr(most[9], "high", None) == 3


def test_a_layer_without_which_no_metric_is_left_is_the_most_sensitive() -> None:
    lost = Sensitivity(name="lost[1]*", kind="prune", strength=0.8, drop=None)
    made = recipe_of({**FULL, "sparsity_tilt": 1.0, "spared": 1}, PLAN, lambda: [*KNOWN, lost]).profile
    pruned = made.settings_of("channels/prune")
    [spared] = pruned.spare
    assert fnmatch("lost[1]*", spared) and not fnmatch("lost1x", spared)  # a name, though it looks like a pattern
    assert min(pruned.layer_sparsity.values()) == pruned.layer_sparsity[spared]


def test_a_leaf_quantized_after_training_gets_one_with_qat_behind_it_of_the_same_settings() -> None:
    untrained = {**FULL, "qat": False, "epochs": 2.0}
    both, trained = with_qat(untrained, PLAN, _unasked), recipe_of({**FULL, "epochs": 2.0}, PLAN, _unasked)
    assert Tree(both.profile.tree).leaves == ("channels/prune/cluster/ptq", "channels/prune/cluster/pcqat")
    for node in trained.profile.tree:
        assert scheduled(both, 1.0).settings_of(node) == scheduled(trained, 1.0).settings_of(node)
    assert with_qat(FULL, PLAN, _unasked) == recipe_of(FULL, PLAN, _unasked)
    assert with_qat(FULL, PLAN, _unasked, {"qat": False}).path == "channels/prune/cluster/ptq"


def test_on_the_way_lie_the_models_before_the_leaf_with_the_very_same_training() -> None:
    whole = recipe_of({**FULL, "spared": 1, "epochs": 2.0}, PLAN, lambda: KNOWN)
    parts = [recipe_of(one, PLAN, lambda: KNOWN) for one in on_the_way({**FULL, "spared": 1, "epochs": 2.0})]
    assert [part.path for part in parts] == ["channels/prune/cluster/ptq", "channels/prune/ptq", "channels/ptq"]
    trained = scheduled(whole, 1.0)
    for part in parts:
        for node in part.profile.tree:
            if node != part.path:
                assert scheduled(part, 1.0).settings_of(node) == trained.settings_of(node)


def test_what_the_user_named_is_on_every_way() -> None:
    strengths = {name: value for name, value in FULL.items() if not name.startswith("clusters")}
    assert [one["qat"] for one in on_the_way(strengths, {"clusters": 8})] == [False]
    unpruned = {**FULL, "sparsity": 0.25, "qat": False}
    assert [one["clusters"] for one in on_the_way(unpruned)] == [0]
    assert on_the_way({**unpruned, "clusters": 0}) == []

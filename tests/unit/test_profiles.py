from __future__ import annotations

from pathlib import Path

import pytest

from armopt.catalog.profiles import check_overrides, find_profile, list_profiles
from armopt.core.errors import UsageError
from armopt.core.profile import StageSettings
from armopt.core.target import Target
from armopt.core.tree import Tree

PROFILE = """
name = "mine"
tree = ["prune", "prune/ptq", "prune/cluster", "prune/cluster/ptq", "cluster", "cluster/ptq"]
[common]
epochs = 3
learning_rate = 0.001
[stages.cluster]
learning_rate = 0.01
[nodes."prune/cluster"]
learning_rate = 0.1
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_default_profile_is_found_and_says_what_it_is_for() -> None:
    assert "default" in list_profiles()
    profile = find_profile("default")
    assert profile.title
    assert profile.settings_of("cluster").depthwise and not profile.settings_of("prune").depthwise
    assert profile.settings_of("cluster").clustering == "shared"


def test_node_settings_win_over_stage_settings_and_those_over_common_ones(tmp_path: Path) -> None:
    profile = find_profile(written(tmp_path, PROFILE))
    rates = {node: profile.settings_of(node).learning_rate for node in ("prune", "cluster", "prune/cluster")}
    assert rates == {"prune": 0.001, "cluster": 0.01, "prune/cluster": 0.1}


def test_overrides_win_over_everything_and_leave_the_rest(tmp_path: Path) -> None:
    settings = find_profile(written(tmp_path, PROFILE)).settings_of("prune/cluster", {"epochs": 9})
    assert (settings.epochs, settings.learning_rate, settings.seed) == (9, 0.1, StageSettings().seed)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (PROFILE.replace("epochs = 3", "epoch = 3"), "unknown key common.epoch;"),
        (PROFILE.replace("epochs = 3", "epochs = -3"), "common.epochs: input should be greater"),
        (PROFILE.replace("learning_rate = 0.01", "rate = 1"), "unknown key stages.cluster.rate;"),
        (PROFILE.replace("learning_rate = 0.1\n", "rate = 1\n"), "unknown key nodes.prune/cluster.rate;"),
        (PROFILE.replace("[stages.cluster]", "[stages.clutser]"), "stages.clutser: not in the tree"),
        (PROFILE.replace('"prune/cluster"]', '"prune/custer"]'), "nodes.prune/custer: not in the tree"),
        (PROFILE.replace("tree =", "trees ="), "key tree is missing"),
        ("name = ", "not valid TOML"),
        (
            PROFILE.replace('"cluster/ptq"]', '"cluster/distil"]'),
            "tree: the tree has an unknown stage 'distil'; known:",
        ),
        (PROFILE.replace('"prune", ', ""), "tree: the tree has 'prune/ptq' without its parent 'prune'"),
    ],
)
def test_a_wrong_profile_gets_one_line_with_file_and_key(tmp_path: Path, broken: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_profile(written(tmp_path, broken))
    assert complaint in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_profile_is_told_what_it_may_have_meant() -> None:
    with pytest.raises(UsageError, match="did you mean default"):
        find_profile("defualt")


def test_a_profile_that_is_no_file_says_so() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml: can't be read"):
        find_profile("nowhere.toml")


def test_a_profile_in_the_users_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "default.toml").write_text(PROFILE)
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    assert find_profile("default").name == "mine"


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"sparsity": 1.5}, "--sparsity 1.5: input should be less than 1"),
        ({"sparsity": float("nan")}, "--sparsity nan"),
        ({"clusters": 1}, "--clusters 1: input should be greater than or equal to 2"),
        ({"epoch": 1}, "unknown setting 'epoch'; known: sparsity"),
    ],
)
def test_a_wrong_override_is_named_as_its_flag(overrides: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        check_overrides(overrides)


def test_right_overrides_pass_unchanged() -> None:
    assert check_overrides({"sparsity": 0.8}) == {"sparsity": 0.8}


def test_channel_nodes_join_the_tree_where_speed_is_limited_or_a_width_is_named() -> None:
    plan = find_profile("default")
    assert "channels" not in plan.tree and len(plan.tree) == 11
    assert plan.under(Target(max_gz_bytes=9, max_drop=0.1)).tree == plan.tree
    asked = (plan.under(Target(max_latency_ms=1)), plan.under(Target(max_instructions=9)), plan.under(Target(), True))
    for joined in asked:
        assert joined.tree == (*plan.tree, *plan.speed_tree)
        assert Tree(joined.tree).leaves[-1] == "channels/prune/cluster/pcqat"


def test_settings_that_are_put_over_a_profile_win_over_what_it_says_of_stages_and_nodes() -> None:
    plan = find_profile("default").with_settings({"epochs": 7}).with_width_step(16)
    assert {plan.settings_of(path).epochs for path in (*plan.tree, *plan.speed_tree)} == {7}
    assert plan.settings_of("channels").width_step == 16
    assert plan.with_settings({"width_step": 4}).with_width_step(16).settings_of("channels").width_step == 4

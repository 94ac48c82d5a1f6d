from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import channel_twins
import tiny_models
from armopt.compress.channels.groups import ChannelGraph, Kept
from armopt.compress.channels.importance import channel_importance
from armopt.compress.channels.slim import score_channels, slim
from armopt.compress.channels.widths import channels_kept, choose
from armopt.compress.data import Split
from armopt.core.errors import ModelError, UsageError
from armopt.core.profile import StageSettings

WIDTHS = st.floats(0.01, 1.0)


@given(st.integers(1, 600), WIDTHS, WIDTHS, st.integers(1, 32))
def test_rounding_never_falls_as_the_width_rises(count: int, one: float, other: float, step: int) -> None:
    less, more = sorted((one, other))
    assert channels_kept(count, less, step) <= channels_kept(count, more, step)


@given(st.integers(1, 600), WIDTHS, st.integers(1, 32))
def test_widths_are_whole_steps_near_what_was_asked_or_the_whole(count: int, width: float, step: int) -> None:
    left = channels_kept(count, width, step)
    assert left == count or left % step == 0
    assert min(step, count) <= left <= count
    assert left in (step, count) or abs(left - count * width) <= step / 2
    assert channels_kept(count, 1.0, step) == count


def test_the_prototypes_widths_are_met() -> None:
    assert [channels_kept(276, width / 276, 8) for width in (276, 232, 184, 128)] == [276, 232, 184, 128]


@pytest.fixture(scope="module")
def graph() -> ChannelGraph:
    return ChannelGraph(channel_twins.randomised(channel_twins.mixed()))


def _choose(graph: ChannelGraph, **options: Any) -> Kept:
    asked = StageSettings.model_validate({"width_step": 2, **options})
    importance = channel_importance(graph, "l1", Split(()), None, 1)  # type: ignore[arg-type]
    return choose(graph, importance, asked)


def _counts(kept: Kept) -> dict[str, int]:
    return {name: int(stays.sum()) for name, stays in kept.items()}


def test_every_group_keeps_the_same_share_unless_it_has_its_own(graph: ChannelGraph) -> None:
    kept = _choose(graph, width=0.5, widths={"late": 0.25, "wide": 1.0})
    assert _counts(kept) == {"stem": 8, "narrow": 4, "squeeze": 4, "late": 4, "hidden": 10}


def test_the_most_important_channels_stay(graph: ChannelGraph) -> None:
    scores = channel_importance(graph, "l1", Split(()), None, 1)["wide"]  # type: ignore[arg-type]
    stays = _choose(graph, width=0.5)["wide"]
    assert scores[stays].min() >= scores[~stays].max()


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"spare": ("stem",)}, {"stem"}),
        ({"spare": ("shared",)}, {"stem"}),  # a layer of the same group
        ({"spare": ("exc*",)}, {"wide", "narrow"}),
        ({"first_layer": False}, {"stem"}),
        ({"last_layer": False}, set()),  # it makes the outputs, which stay anyhow
    ],
)
def test_layers_that_the_settings_leave_alone_keep_their_channels(
    graph: ChannelGraph, options: dict[str, Any], left: set[str]
) -> None:
    names = {group.name for group in graph.groups}
    assert set(_choose(graph, width=0.5, **options)) == names - left


def test_an_unknown_group_is_refused_and_the_known_ones_are_named(graph: ChannelGraph) -> None:
    with pytest.raises(UsageError, match=r"'steam' that the model does not have; its groups are stem, wide"):
        _choose(graph, widths={"steam": 0.5})


@settings(max_examples=20, deadline=None)
@given(width=WIDTHS, other=WIDTHS, scope=st.sampled_from(["layer", "global"]), step=st.integers(1, 9))
def test_what_stays_at_a_width_stays_at_every_larger_one(
    graph: ChannelGraph, width: float, other: float, scope: str, step: int
) -> None:
    less, more = (_choose(graph, width=w, scope=scope, width_step=step) for w in sorted((width, other)))
    small, large = graph.keep(less), graph.keep(more)
    assert not (small & ~large).any()
    assert graph.macs.total(small) <= graph.macs.total(large)


@settings(max_examples=20, deadline=None)
@given(width=WIDTHS, step=st.integers(1, 4))
def test_widths_for_all_groups_together_cost_no_more_than_the_same_for_each(
    graph: ChannelGraph, width: float, step: int
) -> None:
    alike = graph.keep(_choose(graph, width=width, width_step=step))
    free = _choose(graph, width=width, width_step=step, scope="global")
    assert graph.macs.total(graph.keep(free)) <= graph.macs.total(alike)
    assert all(count % step == 0 for count in _counts(free).values())


def test_a_group_with_a_width_of_its_own_keeps_it_among_free_ones(graph: ChannelGraph) -> None:
    kept = _choose(graph, width=0.5, widths={"wide": 0.75}, scope="global")
    assert _counts(kept)["wide"] == 18


def test_scores_are_taken_once_for_many_widths() -> None:
    model = channel_twins.randomised(channel_twins.mixed())
    context = tiny_models.context_for(tiny_models.conv2d())
    asked = StageSettings(importance="l1", width_step=1)
    scores = score_channels(model, asked, context.data, context.task)
    macs = []
    for width in (0.25, 0.5, 0.75):
        made = slim(model, asked.model_copy(update={"width": width}), context.data, context.task, scores)
        small = ChannelGraph(made.model)
        assert small.macs.total(small.keep({})) == made.report.macs[0]
        macs.append(made.report.macs[0])
    assert macs == sorted(macs) and macs[-1] < made.report.macs[1]


def test_where_nothing_can_go_the_reason_is_given() -> None:
    context = tiny_models.context_for(tiny_models.lstm())
    for model, words in (
        (
            tiny_models.lstm(),
            r"no channel of model 'lstm_net' can be pruned: those of 'lstm' .* 'lstm' \(LSTM\)",
        ),
        (tiny_models.shared(), "those of 'same' have to stay, since it meets the inputs of model 'shared_net'"),
    ):
        with pytest.raises(ModelError, match=words):
            score_channels(model, StageSettings(), context.data, context.task)
    with pytest.raises(ModelError, match="all layers that could be are spared"):
        score_channels(tiny_models.conv2d(), StageSettings(spare=("*",)), context.data, context.task)


def test_random_scores_follow_the_seed(graph: ChannelGraph) -> None:
    def scores(seed: int) -> Any:
        found = channel_importance(graph, "random", Split(()), None, seed)  # type: ignore[arg-type]
        return np.concatenate(list(found.values()))

    assert np.array_equal(scores(1), scores(1)) and not np.array_equal(scores(1), scores(2))

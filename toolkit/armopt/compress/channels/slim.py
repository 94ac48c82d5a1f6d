"""A smaller model from a trained one, without training: score the channels once, shrink at as many widths as needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from armopt.compress.channels.groups import ChannelGraph, Frozen, Kept
from armopt.compress.channels.importance import Importance, channel_importance
from armopt.compress.channels.surgery import shrunk
from armopt.compress.channels.widths import choose, prunable_groups
from armopt.compress.data import Data
from armopt.compress.task import Task
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings

# Names in a sentence; the rest is counted.
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Scores:
    """Channels of one model and what each is worth: all that shrinking it at any width needs.

    Attributes:
        graph: the channels.
        importance: by group.
    """

    graph: ChannelGraph
    importance: Importance


@dataclass(frozen=True)
class Report:
    """What was done to a model's channels.

    Attributes:
        widths: by the name of each group that the settings let shrink, its channels after and before.
        frozen: layers whose channels had to stay.
        macs: multiply-accumulates of the whole model, after and before, per sample.
    """

    widths: dict[str, tuple[int, int]]
    frozen: tuple[Frozen, ...]
    macs: tuple[int, int]

    def notes(self) -> tuple[str, ...]:
        """In sentences: the widths, and what was left whole although it is not an output."""
        sizes = set(self.widths.values())
        if len(sizes) == 1:
            after, before = next(iter(sizes))
            where = f"in each of {len(self.widths)} groups" if len(self.widths) > 1 else "in one group"
        else:
            after, before = (sum(pair[i] for pair in self.widths.values()) for i in (0, 1))
            where = f"in {len(self.widths)} groups"
        share = self.macs[0] / max(1, self.macs[1])
        words = f"channels {before} -> {after} {where}, {share:.0%} of the multiply-accumulates"
        return (words, *self._held())

    def _held(self) -> tuple[str, ...]:
        held = [one for one in self.frozen if not one.at_the_end]
        if not held:
            return ()
        named = ", ".join(f"'{one.layer}'" for one in held[:_NAMED])
        further = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
        return (f"all channels stay in {named}{further}: {held[0].reason}",)


@dataclass(frozen=True, eq=False)
class Slimmed:
    """A smaller model.

    Attributes:
        model: of its own variables; not trained.
        kept: what stays of the source's channels.
        report: in figures and words.
    """

    model: Any
    kept: Kept
    report: Report


def score_channels(model: Any, settings: StageSettings, data: Data, task: Task) -> Scores:
    """Follow the model's channels and score them by the settings' `importance` and `seed`.

    Raises:
        ModelError: nothing can be pruned; says what holds it.
    """
    graph = ChannelGraph(model)
    _check(graph, settings)
    return Scores(graph, channel_importance(graph, settings.importance, data.train, task, settings.seed))


def slim(model: Any, settings: StageSettings, data: Data, task: Task, scores: Scores | None = None) -> Slimmed:
    """The model with the channels that `width`, `widths`, `width_step` and `scope` of the settings leave it.

    Args:
        model: Sequential or functional; not changed.
        settings: widths, importance, seed, and which layers to leave alone.
        data: training samples for the importance 'taylor'.
        task: its loss.
        scores: of this model by `score_channels`, to try several widths for the price of one scoring.

    Raises:
        ModelError: nothing can be pruned.
        UsageError: `widths` names an unknown group.
    """
    scores = scores or score_channels(model, settings, data, task)
    graph = scores.graph
    _check(graph, settings)
    kept = choose(graph, scores.importance, settings)
    return Slimmed(shrunk(graph, kept), kept, _report(graph, kept, settings))


def report_of(scores: Scores, settings: StageSettings) -> Report:
    """What `slim` would report, without building the model.

    Raises:
        UsageError: `widths` names an unknown group.
    """
    return _report(scores.graph, choose(scores.graph, scores.importance, settings), settings)


def _report(graph: ChannelGraph, kept: Kept, settings: StageSettings) -> Report:
    widths = {
        group.name: (int(kept[group.name].sum()) if group.name in kept else len(group), len(group))
        for group in prunable_groups(graph, settings)
    }
    return Report(widths, graph.frozen, (graph.macs.total(graph.keep(kept)), graph.macs.total(graph.keep({}))))


def _check(graph: ChannelGraph, settings: StageSettings) -> None:
    if prunable_groups(graph, settings):
        return
    if graph.groups:
        held = "all layers that could be are spared"
    elif graph.frozen:
        first = next((one for one in graph.frozen if not one.at_the_end), graph.frozen[0])
        held = f"those of '{first.layer}' have to stay, since {first.reason}"
    else:
        held = "it has no convolution or dense layer"
    raise ModelError(
        f"no channel of model '{graph.model.name}' can be pruned: {held}", "leave channels out of the tree"
    )

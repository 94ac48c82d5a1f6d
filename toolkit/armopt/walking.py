"""From a run that is prepared to a leaf: strengths as planned or searched for, built by this process or by workers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal

from armopt.compress.stages import STAGES
from armopt.core.errors import ConversionError, ModelError
from armopt.core.events import Note, RunStarted
from armopt.core.profile import Profile
from armopt.core.records import Measurement, Node
from armopt.core.search_record import Effort, SearchRecord
from armopt.core.target import Target
from armopt.core.tree import ROOT, Tree, stage_of
from armopt.preparing import Ready
from armopt.search.builder import FULL, Builder
from armopt.search.drafts import UNSCORED, Drafts
from armopt.search.nodes import NodeBuilder
from armopt.search.outlook import Outlook
from armopt.search.prospects import felt_stages
from armopt.search.runs import Runs
from armopt.search.walk import Walk, Walked, WhyNot, nothing_known
from armopt.searching import Searched, search_strengths

# Of several trees that were walked, the one to tell of: the further left, the better.
_ORDER = ("met", None, "unstable", "inconclusive", "missed")


@dataclass(frozen=True)
class Found:
    """What a run came to.

    Attributes:
        walked: the tree that is told of.
        builder: of its nodes.
        search: how its strengths were found; None where they were planned.
    """

    walked: Walked
    builder: NodeBuilder
    search: SearchRecord | None = None


def walk_to_leaf(
    ready: Ready,
    builder: NodeBuilder,
    hands: Builder,
    runs: Runs,
    plan: Profile,
    target: Target,
    until: Literal["first", "best"],
    effort: Effort | None,
    named: dict[str, object],
) -> Found:
    """Walk the planned tree; or search for strengths first, and walk the tree of one path that they make.

    Args:
        ready: source, data and task.
        builder: of nodes on them.
        hands: build the nodes: this process, or workers.
        runs: the device.
        plan: the tree and its strengths.
        target: what to meet.
        until: `first` or `best`, as in `flow.deploy`.
        effort: how long to search; None for no search.
        named: settings that the user named.

    Raises:
        ArmoptError: as the walk and the search do.
    """
    felt = felt_stages(runs.device)
    drafts = Drafts(lambda settings: builder.apart(UNSCORED, settings), runs.draft, runs.listener, felt)
    if runs.runner == "vela":
        with contextlib.suppress(ModelError, ConversionError):  # building says so, and its siblings stay possible
            drafts.speed("ptq")  # operators that the NPU lacks are named before anything is trained
    outlook = Outlook(builder, drafts, target, "width" not in named, runs.listener)
    if effort is None:
        return Found(_walk(plan, hands, runs, target, until, outlook.why_not), builder)
    searched = search_strengths(ready, builder, plan, runs, outlook, target, effort, hands, named)
    return _first_that_holds(searched, builder, hands, runs, target, until)


def _first_that_holds(
    searched: Searched,
    builder: NodeBuilder,
    hands: Builder,
    runs: Runs,
    target: Target,
    until: Literal["first", "best"],
) -> Found:
    """Train what the search found in full; what then fails on test gives way to the next, and the best is told of."""
    found: Found | None = None
    for plan in searched.plans:
        inner = builder.apart(FULL, profile=plan, listener=runs.listener)
        try:
            walked = _walk(plan, hands.instead(inner), runs, target, until, nothing_known)
        except (ModelError, ConversionError) as error:
            if found is None and plan is searched.plans[-1]:
                raise
            runs.listener(Note(f"'{plan.tree[-1]}' could not be trained in full: {error}"))
            continue
        if found is None or _ORDER.index(walked.verdict) < _ORDER.index(found.walked.verdict):
            found = Found(walked, inner, searched.recorded(plan))
        if walked.verdict in (None, "met"):
            break
    assert found is not None
    return found


def _walk(
    plan: Profile, builder: Builder, runs: Runs, target: Target, until: Literal["first", "best"], why_not: WhyNot
) -> Walked:
    tree = Tree(plan.tree)
    runs.listener(RunStarted(tree.paths, tree.leaves, runs.device.name, runs.runner, runs.evidence, target.describe()))
    walk = Walk(
        tree, builder, runs.measurement, runs.device, target, runs.task.metric, runs.listener, why_not, runs.at_once
    )
    return walk.run(until)


def told_measurements(found: Found) -> dict[str, Measurement]:
    """What is told in full: the first leaf that was built, to compare with, and the chosen one."""
    measured = found.walked.measured
    return {path: measured[path] for path in dict.fromkeys((*list(measured)[:1], found.walked.chosen)) if path}


def told_nodes(found: Found, runs: Runs) -> tuple[Node, ...]:
    """The walked nodes with what was done on each, the chosen one with its metric on the device."""
    walked = found.walked
    nodes = dict(walked.nodes)
    for path, node in nodes.items():
        if path != ROOT:
            work = STAGES[stage_of(path)].describe(found.builder.settings(path))
            nodes[path] = node.model_copy(update={"work": work})
    if walked.chosen is not None:
        chosen = nodes[walked.chosen]
        on_device = runs.accuracy(walked.built[walked.chosen], chosen.instructions)
        accuracy = chosen.accuracy.model_copy(update={"device": on_device})
        nodes[walked.chosen] = chosen.model_copy(update={"accuracy": accuracy})
    return tuple(nodes.values())

"""THE flow: a trained Keras model goes down the tree until a leaf meets the target on the device. Start here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from armopt.core.events import Listener, Note, RunFinished, RunStarted, one_at_a_time, silent
from armopt.core.profile import Profile
from armopt.core.records import Node, Result
from armopt.core.search_record import Effort
from armopt.core.target import Target
from armopt.core.tree import ROOT, Tree, stage_of
from armopt.core.version import VERSION

if TYPE_CHECKING:
    from armopt.search.nodes import NodeBuilder
    from armopt.searching import Searched


def deploy(
    model: Any = None,
    data: Any = None,
    *,
    device: str = "pi4",
    target: Target | None = None,
    profile: str | Profile = "default",
    leaves: tuple[str, ...] = (),
    until: Literal["first", "best"] = "first",
    overrides: dict[str, object] | None = None,
    loss: str | None = None,
    metric: str | None = None,
    preprocess: str = "none",
    custom_objects: str | None = None,
    trust_model: bool = False,
    float_io: bool = False,
    emulate: bool = False,
    threads: int = 1,
    workers: int = 0,
    worker_threads: int = 1,
    cluster: str | None = None,
    search: Effort | None = None,
    out: str | None = None,
    offline: bool = False,
    plots: bool = True,
    listener: Listener = silent,
) -> Result:
    """Prune, cluster and quantize a model until one of the leaves meets the target on the device.

    Args:
        model: path of a Keras model, a Keras model, or None for the built-in digits model.
        data: `digits`, path of an .npz or an image folder, `module:function`, or (x, y) arrays; see DATA in the README.
        device: board kind; without a registered board of that kind it is emulated.
        target: limits on latency, instructions, size and accuracy.
        profile: name, path or record of the tree and its strengths.
        leaves: further leaves beside each `ptq` of the tree: `16x8`, `dynamic`, `float16`, `sparse`.
        until: `first` stops at the first leaf that meets the target, `best` builds all and keeps the best.
        overrides: settings over the profile's, for example {"sparsity": 0.6, "epochs": 3}.
        loss: Keras name or `module:function`, over what the model says.
        metric: Keras name or `module:function`, over what the model says.
        preprocess: `none`, `unit` or `signed`; the same for training, calibration, scoring and the board.
        custom_objects: module with the model's own layers.
        trust_model: allow code embedded in the model file.
        float_io: float32 inputs and outputs in the .tflite.
        emulate: never use a registered board (none can be registered yet: boards over SSH are to come).
        threads: of the runtime on the device.
        workers: processes that build nodes side by side; 0: this process builds one after the other.
        worker_threads: of each worker; nodes are byte for byte the same only for the same number.
        cluster: address of a Dask scheduler whose workers build the nodes, in place of `workers`.
        search: look, so long, for the strengths that serve the target best; None takes them from the profile.
        out: folder for model.tflite, result.json and run_model.py; default `armopt-out/MODEL-DEVICE`.
        offline: never fetch anything.
        plots: draw how each kernel's weights are spread, from the float model to the chosen .tflite, into `out/plots`.
        listener: told of every step.

    Returns:
        The result: verdict, chosen node, and every node's figures.

    Raises:
        ArmoptError: in one line, what is wrong and how to mend it.
    """
    from armopt.catalog.devices import find_device

    started = time.monotonic()
    goal, kind = target or Target(), find_device(device)
    plan = _profile(profile).with_leaves(leaves).under(goal, "width" in (overrides or {}))
    plan = plan.with_width_step(kind.core.channel_step)
    Tree(plan.tree)  # what is wrong with it is told before TensorFlow is imported
    plan.check_clusters(overrides)
    listener = one_at_a_time(listener)

    from armopt.delivery import check_writable, deliver
    from armopt.picturing import plot_run
    from armopt.preparing import prepare_run
    from armopt.search.builder import FULL
    from armopt.search.device_runs import DeviceRuns
    from armopt.search.drafts import UNSCORED, Drafts
    from armopt.search.nodes import NodeBuilder
    from armopt.search.outlook import Outlook
    from armopt.search.store import Store
    from armopt.search.walk import Walk, nothing_known
    from armopt.searching import search_strengths
    from armopt.workers.hire import Workforce, hired, named_run

    store, workforce = Store.open(), Workforce(workers, worker_threads, cluster)
    parts = (model, data, loss, metric, preprocess, custom_objects, trust_model)
    run = None if workforce.is_empty else named_run(*parts, store.root)
    ready = prepare_run(model, data, store.root.parent, loss, metric, preprocess, custom_objects, trust_model, listener)
    folder = Path(out or f"armopt-out/{ready.source.name}-{kind.name}")
    check_writable(folder)
    for note in ready.notes:
        listener(Note(note))

    strengths = dict(overrides or {})
    if "epochs" in strengths:
        strengths.setdefault("min_steps", 0)  # who names the epochs means them
    plan = plan.with_settings(strengths)
    builder = NodeBuilder(ready.source, ready.data, ready.task, plan, {}, float_io, store, listener)
    runs = DeviceRuns(kind, ready.data, ready.task, threads, offline, store, listener)
    drafts = Drafts(lambda settings: builder.apart(UNSCORED, settings), runs.draft, listener)
    outlook = Outlook(builder, drafts, goal, "width" not in strengths, listener)
    found: Searched | None = None
    plans: tuple[Profile, ...] = (plan,)
    with hired(workforce, run, builder, listener) as hands:
        if search is not None:
            found = search_strengths(
                ready, builder, plan, runs, outlook, goal, search, hands, strengths, store, listener
            )
            plans = found.plans
        for plan in plans:  # a search hands on several: what fails on test gives way to the next
            tree = Tree(plan.tree)
            listener(RunStarted(tree.paths, tree.leaves, kind.name, "qemu", "modelled", goal.describe()))
            if found is not None:
                builder = builder.apart(FULL, profile=plan, listener=listener)
            why_not = outlook.why_not if found is None else nothing_known
            walk = Walk(
                tree, hands.instead(builder), runs.measurement, kind, goal, ready.task.metric, listener, why_not
            )
            walked = walk.run(until)
            if walked.verdict in (None, "met"):
                break

    nodes = {path: _with_work(node, builder) for path, node in walked.nodes.items()}
    if walked.chosen is not None:
        chosen = nodes[walked.chosen]
        on_device = runs.accuracy(walked.built[walked.chosen], chosen.instructions)
        nodes[walked.chosen] = chosen.model_copy(
            update={"accuracy": chosen.accuracy.model_copy(update={"device": on_device})}
        )
    result = Result(
        armopt_version=VERSION,
        device=kind.name,
        runner="qemu",
        evidence="modelled",
        model=ready.source.name,
        data=ready.data.name,
        metric=ready.task.metric,
        source_accuracy=builder.source_metric("test"),
        target=goal.model_dump(),
        verdict=walked.verdict,
        reason=walked.reason,
        chosen=walked.chosen,
        pareto=walked.pareto,
        nodes=tuple(nodes.values()),
        search=found.recorded(plan) if found is not None else None,
        notes=ready.notes,
        out=str(folder),
        seconds=round(time.monotonic() - started, 2),
    )
    deliver(result, walked.built[walked.chosen].tflite if walked.chosen else None, folder, preprocess, threads)
    plot_run(builder, walked.chosen if plots else None, folder, listener)
    listener(RunFinished(result))
    return result


def _with_work(node: Node, builder: NodeBuilder) -> Node:
    from armopt.compress.stages import STAGES

    if node.path == ROOT:
        return node
    return node.model_copy(update={"work": STAGES[stage_of(node.path)].describe(builder.settings(node.path))})


def _profile(profile: str | Profile) -> Profile:
    if isinstance(profile, Profile):
        return profile
    from armopt.catalog.profiles import find_profile

    return find_profile(profile)

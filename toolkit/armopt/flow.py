"""THE flow: a trained Keras model goes down the tree until a leaf meets the target on the device. Start here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from armopt.core.errors import UsageError
from armopt.core.events import Listener, Note, RunFinished, one_at_a_time, silent
from armopt.core.profile import Profile
from armopt.core.records import Result
from armopt.core.search_record import Effort
from armopt.core.target import Target
from armopt.core.tree import Tree
from armopt.core.version import VERSION


def deploy(
    model: Any = None,
    data: Any = None,
    *,
    device: str | None = None,
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
    host: str | None = None,
    emulate: bool = False,
    vela_ini: str | None = None,
    threads: int = 1,
    rounds: int = 0,
    workers: int = 0,
    worker_threads: int = 1,
    cluster: str | None = None,
    search: Effort | None = None,
    out: str | None = None,
    offline: bool = False,
    plots: bool = True,
    command: tuple[str, ...] = (),
    listener: Listener = silent,
) -> Result:
    """Prune, cluster and quantize a model until one of the leaves meets the target on the device.

    Args:
        model: path of a Keras model, a Keras model, or None for the built-in digits model.
        data: `digits`, path of an .npz or an image folder, `module:function`, or (x, y) arrays; see DATA in the README.
        device: board kind: its registered boards are used, else it is emulated; or an Ethos-U, which is estimated;
            None: the kind of `host`, else pi4.
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
        host: names of registered boards of one kind, with commas between; `local`: this machine is a board.
        emulate: never use a registered board.
        vela_ini: path of a vela.ini that describes the system around an Ethos-U, in place of the device's own.
        threads: of the runtime on the device.
        rounds: on boards, time each leaf in at least so many processes, up to 30; a limit alone often needs fewer.
        workers: processes that build nodes side by side; 0: this process builds one after the other.
        worker_threads: of each worker; nodes are byte for byte the same only for the same number.
        cluster: address of a Dask scheduler whose workers build the nodes, in place of `workers`.
        search: look, so long, for the strengths that serve the target best; None takes them from the profile.
        out: folder for model.tflite, result.json and run_model.py, which are installed on boards, too; default
            `armopt-out/MODEL-DEVICE`.
        offline: never fetch anything.
        plots: draw into `out/plots` how each kernel's weights are spread, from the float model to the chosen .tflite,
            and a search's trials.
        command: the command line that asks for this, which the result keeps.
        listener: told of every step.

    Returns:
        The result: verdict, chosen node, and every node's figures.

    Raises:
        ArmoptError: in one line, what is wrong and how to mend it.
    """
    from armopt.placing import NpuPlace, find_place
    from armopt.workers.workforce import Workforce

    started = time.monotonic()
    if search is not None and leaves:
        raise UsageError("a search tries INT8 leaves only", "leave out --leaves, or --search")
    goal, place = target or Target(), find_place(device or (None if host else "pi4"), host, emulate, vela_ini)
    if rounds and (isinstance(place, NpuPlace) or not place.hosts):
        raise UsageError(f"rounds are timed on boards, and {place.kind.name} is none here", "name a board as the host")
    plan = _profile(profile).with_leaves(leaves).under(goal, "width" in (overrides or {}))
    plan = plan.with_width_step(place.kind.channel_step)
    Tree(plan.tree)  # what is wrong with it is told before TensorFlow is imported
    plan.check_clusters(overrides)
    workforce = Workforce(workers, worker_threads, cluster)
    listener = one_at_a_time(listener)

    from armopt.delivery import check_writable, deliver
    from armopt.picturing import plot_run, plot_search
    from armopt.preparing import prepare_run
    from armopt.repeating import environment_here, now, without_secrets
    from armopt.search.nodes import NodeBuilder
    from armopt.search.store import Store
    from armopt.stationing import install, stationed
    from armopt.walking import told_measurements, told_nodes, walk_to_leaf
    from armopt.workers.hire import hired, named_run

    store = Store.open()
    parts = (model, data, loss, metric, preprocess, custom_objects, trust_model)
    run = None if workforce.is_empty else named_run(*parts, store.root)
    ready = prepare_run(model, data, store.root.parent, loss, metric, preprocess, custom_objects, trust_model, listener)
    folder = Path(out or f"armopt-out/{ready.source.name}-{place.kind.name}")
    check_writable(folder)
    for note in (*ready.notes, *filter(None, [place.why])):
        listener(Note(note))

    strengths = dict(overrides or {})
    if "epochs" in strengths:
        strengths.setdefault("min_steps", 0)  # who names the epochs means them
    plan = plan.with_settings(strengths)
    builder = NodeBuilder(ready.source, ready.data, ready.task, plan, {}, float_io, store, listener)
    with (
        stationed(place, ready, goal, threads, rounds, offline, store, listener) as runs,
        hired(workforce, run, builder, listener) as hands,
    ):
        found = walk_to_leaf(ready, builder, hands, runs, plan, goal, until, search, strengths)
        nodes = told_nodes(found, runs)
    walked = found.walked
    result = Result(
        armopt_version=VERSION,
        device=place.kind.name,
        hosts=tuple(host.name for host in place.hosts),
        runner=runs.runner,
        evidence=runs.evidence,
        model=ready.source.name,
        data=ready.data.name,
        metric=ready.task.metric,
        source_accuracy=builder.source_metric("test"),
        test_samples=len(ready.data.test),
        target=goal.model_dump(),
        verdict=walked.verdict,
        reason=walked.reason,
        chosen=walked.chosen,
        pareto=walked.pareto,
        nodes=nodes,
        measurements=told_measurements(found),
        search=found.search,
        notes=ready.notes,
        out=str(folder),
        command=without_secrets(command),
        environment=environment_here(),
        finished=now(),
        seconds=round(time.monotonic() - started, 2),
    )
    deliver(result, walked.built[walked.chosen].tflite if walked.chosen else None, folder, preprocess, threads)
    install(place, ready.source.name, walked.chosen, folder, offline, listener)
    plot_run(found.builder, walked.chosen if plots else None, folder, listener)
    if plots and result.search is not None:
        plot_search(result, folder, listener)
    listener(RunFinished(result))
    return result


def _profile(profile: str | Profile) -> Profile:
    if isinstance(profile, Profile):
        return profile
    from armopt.catalog.profiles import find_profile

    return find_profile(profile)

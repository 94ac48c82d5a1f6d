"""What every worker does with a task, wherever it runs: load the run once, build the node into the store."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

from armopt.core.errors import WorkerError
from armopt.core.events import Listener, silent
from armopt.preparing import Ready, prepare_run
from armopt.search.crew.task import NodeTask, RunSpec
from armopt.search.nodes import NodeBuilder
from armopt.search.store import Store


def perform(task: NodeTask, listener: Listener) -> bool:
    """Build the node; True where it was made now, False where the store had it.

    Its parent is read from the store even if this worker made it, so that a node does not depend on which worker
    built what before.

    Raises:
        ArmoptError: as `prepare_run` and `NodeBuilder.build` do.
        WorkerError: this machine sees another model, other data or other libraries than the one that sent the task.
    """
    ready, terms, store = _ready(task.run), task.terms, Store(Path(task.run.store))
    builder = NodeBuilder(
        ready.source, ready.data, ready.task, terms.profile, terms.overrides, terms.float_io, store, listener,
        terms.scoring,
    )  # fmt: skip
    if builder.key(task.path) != task.key:
        raise WorkerError(
            f"the worker on '{platform.node()}' sees another model, other data or other libraries than this process",
            "give it the same files and the same versions; data of a function have to be the same at every call",
        )
    return not builder.build(task.path).cached


@functools.lru_cache(maxsize=1)
def _ready(run: RunSpec) -> Ready:
    return prepare_run(
        run.model, run.data, Path(run.store).parent, run.loss, run.metric, run.preprocess, run.custom_objects,
        run.trust_model, silent,
    )  # fmt: skip

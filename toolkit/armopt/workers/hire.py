"""Hires workers for a run, before it begins and only if it can have them, and lets them go when it ends."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from armopt.core.errors import UsageError
from armopt.core.events import Listener
from armopt.search.builder import Builder
from armopt.search.crew.builder import CrewBuilder
from armopt.search.crew.crew import Crew
from armopt.search.crew.task import Pool, RunSpec
from armopt.search.nodes import NodeBuilder
from armopt.workers.local import LocalPool
from armopt.workers.workforce import Workforce


def named_run(
    model: Any,
    data: Any,
    loss: str | None,
    metric: str | None,
    preprocess: str,
    custom_objects: str | None,
    trust_model: bool,
    store: Path,
) -> RunSpec:
    """The run as workers find it, under absolute paths.

    Raises:
        UsageError: no data, or a model or data in this process's memory, which workers can't see.
    """
    for value, what, mend in ((model, "a model", "save it"), (data, "data", "save them as .npz")):
        if value is not None and not isinstance(value, (str, Path)):
            raise UsageError(f"workers can't see {what} in memory", f"{mend} and give the path")
    if data is None:
        raise UsageError("no data given", "name it with --data: digits, an .npz, an image folder or module:function")
    return RunSpec(
        None if model is None else _absolute(model),
        _absolute(data),
        loss,
        metric,
        preprocess,
        custom_objects,
        trust_model,
        str(store.resolve()),
    )


def _absolute(what: str | Path) -> str:
    """A path from the root; other names, such as `digits` and `module:function`, as they are."""
    path = Path(what).expanduser()
    return str(path.resolve()) if path.exists() and str(what) != "digits" else str(what)


@contextlib.contextmanager
def crew_for(workforce: Workforce, run: RunSpec, listener: Listener) -> Iterator[Crew]:
    """A crew for the run; its workers end with the block, whatever they are at.

    Raises:
        WorkerError: the cluster does not answer.
    """
    crew = Crew(_pool(workforce, listener), run)
    try:
        yield crew
    finally:
        crew.close()


@contextlib.contextmanager
def hired(workforce: Workforce, run: RunSpec | None, builder: NodeBuilder, listener: Listener) -> Iterator[Builder]:
    """Whoever builds the nodes of a walk: `builder` itself where no workers are wanted, else a crew's.

    Raises:
        ArmoptError: as `crew_for` does.
    """
    if run is None:
        yield builder
        return
    with crew_for(workforce, run, listener) as crew:
        yield CrewBuilder(builder, crew)


def _pool(workforce: Workforce, listener: Listener) -> Pool:
    if workforce.cluster:
        from armopt.workers.cluster import ClusterPool

        return ClusterPool(workforce.cluster, workforce.threads, listener)
    command = [sys.executable, "-m", "armopt.workers.child"]
    return LocalPool(command, workforce.count, workforce.threads, listener)

"""What a worker is told: the run by its names, the terms, and the node. All of it can be sent to another machine."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from armopt.search.builder import Terms


@dataclass(frozen=True)
class RunSpec:
    """A run by the names of its parts; every worker loads them itself, once.

    Attributes:
        model: absolute path; None for the model that belongs to `digits`.
        data: `digits`, an absolute path, or `module:function`.
        loss: as in `flow.deploy`, like the next four.
        metric: of the task.
        preprocess: of the inputs.
        custom_objects: module with the model's layers.
        trust_model: allow embedded code.
        store: the store's folder, which all workers share.
    """

    model: str | None
    data: str
    loss: str | None
    metric: str | None
    preprocess: str
    custom_objects: str | None
    trust_model: bool
    store: str


@dataclass(frozen=True)
class NodeTask:
    """One node to be built into the store, where its parent already is.

    Attributes:
        run: model, data and task.
        terms: strengths and scoring.
        path: of the node.
        key: its content address as the sender sees it; a worker that sees another has other inputs.
    """

    run: RunSpec
    terms: Terms
    path: str
    key: str


class Pool(Protocol):
    """Workers that do tasks side by side. A lost worker's task is done again by another."""

    @property
    def capacity(self) -> int:
        """Tasks that can be worked on at once."""
        raise NotImplementedError

    def submit(self, task: NodeTask) -> Future[bool]:
        """Have it done; True where the node was made, False where somebody else had put it into the store.

        The future raises what building raised, or WorkerError where the workers died of it again and again.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End all workers now, whatever they are at. What they finished stays in the store."""

"""Follows a run in TensorBoard or MLflow: listeners beside the console's, which a run knows nothing of."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Protocol

from armopt.core.errors import ArmoptError
from armopt.core.events import Event, Listener, Note, RunStarted, SearchProgress, TrainingStep
from armopt.core.records import Node


class Follower(Protocol):
    """Writes down what it is told, somewhere else than on the terminal."""

    name: str

    def __call__(self, event: Event) -> None:
        """Write the event down; whatever it raises is told, and ends the following and not the run."""

    def close(self, error: BaseException | None) -> None:
        """The run is over, with an error or without."""


@contextlib.contextmanager
def followed(listener: Listener, tensorboard: str | None, mlflow: str | None) -> Iterator[Listener]:
    """The listener, and those that follow the run in TensorBoard's folder and in MLflow beside it.

    Args:
        listener: told of everything, and of a follower that failed.
        tensorboard: folder for event files; None for none.
        mlflow: address of a tracking server, a folder, or `on` for what MLFLOW_TRACKING_URI says; None for none.

    Raises:
        UsageError: the package that is needed is not installed.
        DeviceError: the folder or the server can't be used.
    """
    followers: list[Follower] = []
    if tensorboard is not None:
        from armopt.following.to_tensorboard import ToTensorBoard

        followers.append(ToTensorBoard(tensorboard))
    if mlflow is not None:
        from armopt.following.to_mlflow import ToMlflow

        followers.append(ToMlflow(mlflow))
    telling = _Telling(listener, followers)
    try:
        yield telling if followers else listener
    except BaseException as error:
        telling.close(error)
        raise
    telling.close(None)


class _Telling:
    """Tells the listener and all followers; one that fails is told of once, and left out from then on."""

    def __init__(self, listener: Listener, followers: list[Follower]) -> None:
        self._listener, self._followers = listener, followers
        self._searching = False

    def __call__(self, event: Event) -> None:
        self._listener(event)
        if isinstance(event, (SearchProgress, RunStarted)):
            self._searching = isinstance(event, SearchProgress)
        if self._searching and isinstance(event, TrainingStep):
            return  # many trials train nodes of the same path
        for follower in list(self._followers):
            try:
                follower(event)
            except Exception as error:  # a full disk or a server that is gone must not cost the run
                self._lose(follower, error)

    def close(self, error: BaseException | None) -> None:
        """End all followers."""
        for follower in list(self._followers):
            try:
                follower.close(error)
            except Exception as lost:
                self._lose(follower, lost)

    def _lose(self, follower: Follower, error: Exception) -> None:
        self._followers.remove(follower)
        words = str(error) if isinstance(error, ArmoptError) else f"{type(error).__name__}: {error}"
        self._listener(Note(f"{follower.name} does not follow any more: {words}"))


def node_metrics(node: Node) -> Mapping[str, float]:
    """A finished node's figures under the names that TensorBoard and MLflow show; what was not observed is left out."""
    latency = node.latency_ms
    found = {
        "metric/float": node.accuracy.keras,
        "metric/int8": node.accuracy.int8,
        "metric/device": node.accuracy.device,
        "size/bytes": node.size_bytes,
        "size/gz_bytes": node.gz_bytes,
        "weights/zeros": node.sparsity,
        "weights/max_codes": node.max_codes,
        "speed/latency_p50_ms": latency.p50 if latency is not None else None,
        "speed/instructions": node.instructions,
        "seconds": node.seconds,
    }
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}

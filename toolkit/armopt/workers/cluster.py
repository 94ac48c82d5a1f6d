"""Workers of a Dask cluster that somebody else runs: `dask scheduler`, `dask worker ADDRESS --nthreads 1`."""

from __future__ import annotations

import pickle
import uuid
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from armopt.core.errors import WorkerError
from armopt.core.events import Listener
from armopt.search.crew.task import NodeTask
from armopt.workers.cluster_task import perform_there

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_S = 10.0


class ClusterPool:
    """The workers that a Dask scheduler has, as many as there are when a task is given out.

    Dask does a lost worker's task again by itself, three times (`distributed.scheduler.allowed-failures`).

    Args:
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        threads: of each worker's TensorFlow.
        listener: told of what the workers tell, from threads of the pool.

    Raises:
        WorkerError: no scheduler answers there.
    """

    def __init__(self, address: str, threads: int, listener: Listener) -> None:
        from distributed import Client

        try:
            self._client: Client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at '{address}'",
                "give it as dask scheduler says it, tcp://HOST:PORT",
            ) from error
        self._address, self._threads = address, threads
        self._topic = f"armopt-{uuid.uuid4().hex}"
        self._client.subscribe_topic(self._topic, lambda event: listener(pickle.loads(event[1])))
        self._open: dict[str, Any] = {}
        self._closed = False

    @property
    def capacity(self) -> int:
        """The number of workers now; 1 while there are none, so that a task waits for the first."""
        return max(1, len(self._client.nthreads()))

    def submit(self, task: NodeTask) -> Future[bool]:
        """As `Pool` says."""
        made: Future[bool] = Future()
        name = f"armopt-{task.path}-{uuid.uuid4().hex}"
        # In bytes: unpacking a task imports TensorFlow, which a worker must not do before its threads are limited.
        content = pickle.dumps(task)
        remote = self._client.submit(perform_there, content, self._threads, self._topic, key=name, pure=False)
        self._open[name] = remote
        remote.add_done_callback(lambda done: self._hand_over(task, name, done, made))
        return made

    def close(self) -> None:
        """Take all tasks back. Workers notice at their next training step; what they finished stays in the store."""
        self._closed = True
        self._client.cancel(list(self._open.values()), force=True)
        self._client.close()

    def _hand_over(self, task: NodeTask, name: str, done: Any, made: Future[bool]) -> None:
        """What became of a task, in this process's terms."""
        from distributed.scheduler import KilledWorker

        self._open.pop(name, None)
        if self._closed:
            made.cancel()
        elif done.status == "finished":
            made.set_result(done.result())
        elif done.status == "error":
            error = done.exception()
            if isinstance(error, KilledWorker):
                error = WorkerError(
                    f"'{task.path}': too many workers of '{self._address}' died of it",
                    "look at their logs; the same command continues",
                )
            made.set_exception(error)
        else:
            made.set_exception(
                WorkerError(f"the cluster at '{self._address}' is gone", "start it; the same command continues")
            )

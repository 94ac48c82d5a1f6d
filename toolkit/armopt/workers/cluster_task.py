"""What a worker of a cluster runs. Imports nothing that computes before the worker's threads are limited."""

from __future__ import annotations

import pickle
import threading

from armopt.core.events import Event, few_steps
from armopt.workers.limits import limit_threads

# Over a network, for a console: more would be noise.
_STEPS_PER_S = 2.0

# TensorFlow and its random seeds are one for a process: a worker with several threads does one task at a time.
_one_task = threading.Lock()


class _TakenBack(Exception):
    """The task was cancelled: nobody waits for the node any more."""


def perform_there(content: bytes, threads: int, topic: str) -> bool:
    """The pickled task, on a worker of the cluster; what happens is told under `topic`."""
    from distributed import get_worker

    worker = get_worker()
    name = worker.get_current_task()

    def tell(event: Event) -> None:
        state = worker.state.tasks.get(name)
        if state is None or state.state == "cancelled":
            raise _TakenBack(name)
        worker.log_event(topic, pickle.dumps(event))

    with _one_task:
        limit_threads(threads)
        from armopt.workers.perform import perform

        return perform(pickle.loads(content), few_steps(tell, _STEPS_PER_S))

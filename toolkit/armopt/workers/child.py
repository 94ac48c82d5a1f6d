"""The worker process of this machine: `python -m armopt.workers.child`, tasks on stdin, answers on stdout."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from typing import IO, TYPE_CHECKING

from armopt.core.events import Event, few_steps
from armopt.workers.answers import Answer, Done, Failed, Told

if TYPE_CHECKING:
    from armopt.search.crew.task import NodeTask

# What a terminal can show of several nodes at once; every step would cost the training time.
_STEPS_PER_S = 4.0


def main() -> None:
    """Do tasks until stdin ends; whoever started this process has then ended, and nobody waits for what is left."""
    # Libraries print to stdout too, so the answers keep the real one to themselves.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import armopt.workers.perform  # noqa: F401 - TensorFlow takes seconds, which the first task need not wait for

    tasks: queue.SimpleQueue[NodeTask] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, tasks), daemon=True).start()
    while True:
        _send(_answer(tasks.get(), answers), answers)


def _read(stream: IO[bytes], tasks: queue.SimpleQueue[NodeTask]) -> None:
    """A thread of its own, so that a process in the middle of a training ends with its parent, however that ended."""
    try:
        while True:
            tasks.put(pickle.load(stream))
    except EOFError:
        os._exit(0)


def _answer(task: NodeTask, answers: IO[bytes]) -> Done | Failed:
    from armopt.workers.perform import perform

    def tell(event: Event) -> None:
        _send(Told(event), answers)

    try:
        return Done(perform(task, few_steps(tell, _STEPS_PER_S)))
    except Exception as error:
        return Failed(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error with its traceback in words, which pickling would lose."""
    error.add_note("in a worker:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error of a foreign class may have a constructor of its own
        return RuntimeError("\n".join(error.__notes__))
    return error


def _send(answer: Answer, answers: IO[bytes]) -> None:
    try:
        pickle.dump(answer, answers)
        answers.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()

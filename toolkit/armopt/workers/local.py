"""Workers on this machine: child processes, each on so many threads of its own, replaced when they die."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import IO, Any

from armopt.core.errors import WorkerError
from armopt.core.events import Listener, Note
from armopt.search.crew.task import NodeTask
from armopt.workers.answers import Answer, Done, Failed, Told
from armopt.workers.limits import thread_limits

# A task that three processes in a row did not survive is what kills them.
ATTEMPTS = 3


class LocalPool:
    """A fixed number of worker processes. They start at once and load TensorFlow before the first task comes.

    Not `concurrent.futures`: there one dead process breaks the whole pool and ends the work of all others.

    Args:
        command: of one worker, which reads pickled tasks from stdin and answers with pickled `Answer`s on stdout.
        count: of workers.
        threads: of each.
        listener: told of what the workers tell, from threads of the pool.
    """

    def __init__(self, command: Sequence[str], count: int, threads: int, listener: Listener) -> None:
        self._tasks: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._seats = [_Seat(command, threads, listener, self._tasks) for _ in range(count)]

    @property
    def capacity(self) -> int:
        """The number of workers."""
        return len(self._seats)

    def submit(self, task: NodeTask) -> Future[bool]:
        """As `Pool` says."""
        pending = _Pending(task, Future())
        self._tasks.put(pending)
        return pending.made

    def close(self) -> None:
        """Kill all workers and wait until they are gone."""
        for seat in self._seats:
            seat.close()
        for _ in self._seats:
            self._tasks.put(None)
        for seat in self._seats:
            seat.join()
        with contextlib.suppress(queue.Empty):
            while True:
                left = self._tasks.get_nowait()
                if left is not None:
                    left.made.cancel()


@dataclass(frozen=True)
class _Pending:
    task: NodeTask
    made: Future[bool]


class _Seat(threading.Thread):
    """One worker's place: gives it tasks, hears it, and puts a new process where one died."""

    def __init__(
        self, command: Sequence[str], threads: int, listener: Listener, tasks: queue.SimpleQueue[_Pending | None]
    ) -> None:
        super().__init__(name="armopt-worker", daemon=True)
        self._command, self._threads, self._listener, self._tasks = command, threads, listener, tasks
        self._lock = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.start()

    def run(self) -> None:
        """Until closed: take a task, have it done."""
        self._start_process()
        while (pending := self._tasks.get()) is not None:
            try:
                answer = self._perform(pending.task)
            except Exception as error:  # a listener that fails, a task that can't be pickled: whoever waits is told
                answer = Failed(error)
            if self._closed:
                pending.made.cancel()
            elif isinstance(answer, Failed):
                pending.made.set_exception(answer.error)
            else:
                pending.made.set_result(answer.made)
        self._end_process()

    def close(self) -> None:
        """Kill the process; the thread ends by itself."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def _perform(self, task: NodeTask) -> Done | Failed:
        """The task's answer, from as many processes as it takes and is allowed."""
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._ask(task)
            if answer is not None:
                return answer
            died, last_words = self._end_process()
            if self._closed:
                break
            again = f"{task.path}: its worker {died}"
            if attempt < ATTEMPTS:
                self._listener(Note(f"{again}; another one does it again"))
                self._start_process()
        self._start_process()
        what = f"'{task.path}': {ATTEMPTS} workers in a row died of it, the last one {died}"
        return Failed(
            WorkerError(
                f"{what}{f' ({last_words})' if last_words else ''}",
                "if memory is short, use fewer workers; the same command continues",
            )
        )

    def _ask(self, task: NodeTask) -> Done | Failed | None:
        """The process's answer; None where it died first."""
        process = self._process
        if process is None:
            return None
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump(task, process.stdin)
            process.stdin.flush()
            while True:
                answer: Answer = pickle.load(process.stdout)
                if not isinstance(answer, Told):
                    return answer
                self._listener(answer.event)
        except (EOFError, OSError, pickle.UnpicklingError):  # it ended before, while or after the task was sent
            return None

    def _start_process(self) -> None:
        with self._lock:
            if self._closed:
                return
            # Chatter goes to a file: stdout carries answers, and the terminal belongs to the parent.
            self._log = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                # Ctrl-C reaches the whole foreground group; the parent ends its workers itself.
                start_new_session=True,
                env={
                    **os.environ,
                    **thread_limits(self._threads),
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
            )

    def _end_process(self) -> tuple[str, str]:
        """End the process if it has not ended; returns how it ended and the last line that it wrote."""
        with self._lock:
            process, log = self._process, self._log
            self._process = self._log = None
        if process is None or log is None:
            return "is gone", ""
        # It closed its end of the pipe, so it is ending by itself, or it is not wanted any more.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0 if self._closed else 1)
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with log:
            return _how_it_ended(code), _last_line(log)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    return f"was stopped by {name}"


def _last_line(log: Any, most: int = 4096) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - most))
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""

"""Decides which node is built next: parents before children, what is asked for before what is only expected."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from armopt.core.errors import StoreError
from armopt.core.stages import TRAINING_STAGES
from armopt.core.tree import ROOT, parent_of, stage_of
from armopt.search.builder import Built
from armopt.search.crew.task import NodeTask, Pool, RunSpec
from armopt.search.nodes import NodeBuilder


@dataclass(eq=False)
class _Job:
    """A node that somebody wants, whoever builds it; `made` becomes True or False as `Pool.submit` says."""

    task: NodeTask
    parent: _Job | None
    made: Future[bool] = field(default_factory=Future)
    started: bool = False

    @property
    def is_ready(self) -> bool:
        """True where it can be given to a worker: its parent is in the store."""
        return not self.started and not self.made.done() and (self.parent is None or self.parent.made.done())


class Crew:
    """Has nodes built by a pool of workers. Methods may be called from any thread.

    A node is given to a worker only when its parent is in the store: no worker waits for another one. Jobs go by the
    node's key, so that trials with a common prefix build it once.

    Args:
        pool: the workers.
        run: what they load.
    """

    def __init__(self, pool: Pool, run: RunSpec) -> None:
        self._pool, self._run = pool, run
        self._lock = threading.RLock()
        self._jobs: dict[str, _Job] = {}
        self._asked: list[_Job] = []
        self._expected: list[_Job] = []
        self._all_needed = False
        self._running = 0

    @property
    def capacity(self) -> int:
        """Nodes that can be built at once."""
        return self._pool.capacity

    def submit(self, builder: NodeBuilder, path: str) -> Future[bool]:
        """Have a node built, after the ancestors that are missing; it goes ahead of all that is only expected.

        Args:
            builder: of the run that the crew was hired for, or one `apart` from it.
            path: of the node.

        Returns:
            True once it is made, False where it was in the store; raises what `NodeBuilder.build` raises, and
            WorkerError where workers died of it.
        """
        with self._lock:
            chain = self._chain(builder, path)
            self._asked += [job for job in chain if job not in self._asked]
            self._fill()
            return chain[-1].made

    def build(self, builder: NodeBuilder, path: str) -> Built:
        """Have a node built, wait for it and read it from the store.

        Raises:
            ArmoptError: as `submit` says; StoreError where the workers' store is not this one.
        """
        made = self.submit(builder, path).result()
        built = builder.stored(path)
        if built is None:
            raise StoreError(
                f"a worker finished '{path}', and it is not in the store '{self._run.store}'",
                "all workers have to see the same folder under this path",
            )
        return replace(built, cached=not made)

    def expect(self, builder: NodeBuilder, paths: Iterable[str], all_needed: bool = False) -> None:
        """Build these ahead as workers are free; earlier expectations not begun are dropped.

        Args:
            builder: as in `submit`.
            paths: of the nodes; ancestors that are missing are built, too.
            all_needed: begin where most training lies one after another, so that all are done soonest (Hu, 1961);
                else begin with the first, which may be all that is needed.
        """
        with self._lock:
            for job in self._expected:
                if not job.started and not job.made.done() and job not in self._asked:
                    del self._jobs[job.task.key]
            chains = [self._chain(builder, path) for path in paths]
            self._expected = list(dict.fromkeys(job for chain in chains for job in chain))
            self._all_needed = all_needed
            self._fill()

    def is_finished(self, builder: NodeBuilder, path: str) -> bool:
        """True where nothing is left to do for the node."""
        with self._lock:
            job = self._jobs.get(builder.key(path))
            return job is not None and job.made.done()

    def close(self) -> None:
        """End all workers now."""
        with self._lock:
            for job in self._jobs.values():
                if not job.started:
                    job.made.cancel()
        self._pool.close()

    def _chain(self, builder: NodeBuilder, path: str) -> list[_Job]:
        """The jobs of a node and of its ancestors, the root's first."""
        above = self._chain(builder, parent_of(path)) if path != ROOT else []
        key = builder.key(path)
        job = self._jobs.get(key)
        if job is None:
            task = NodeTask(self._run, builder.terms, path, key)
            job = self._jobs[key] = _Job(task, above[-1] if above else None)
            if builder.stored(path) is not None:
                job.made.set_result(False)
            elif job.parent is not None and job.parent.made.done():
                _pass_on_failure(job.parent, job)
        return [*above, job]

    def _fill(self) -> None:
        """Give ready jobs to free workers."""
        while self._running < self._pool.capacity:
            job = self._next()
            if job is None:
                return
            self._running += 1
            job.started = True
            self._pool.submit(job.task).add_done_callback(lambda done, job=job: self._finish(job, done))  # type: ignore[misc]

    def _next(self) -> _Job | None:
        """The job for the next free worker: what is asked for before what is expected."""
        asked, expected = ([job for job in jobs if job.is_ready] for jobs in (self._asked, self._expected))
        if asked or not self._all_needed:
            return next(iter([*asked, *expected]), None)
        return max(expected, key=self._training_to_come, default=None)

    def _training_to_come(self, job: _Job) -> int:
        """Stages that are trained one after another from here on, in the longest of the chains that are expected."""
        below = (
            self._training_to_come(other) for other in self._expected if other.parent is job and not other.made.done()
        )
        return int(stage_of(job.task.path) in TRAINING_STAGES) + max(below, default=0)

    def _finish(self, job: _Job, done: Future[bool]) -> None:
        with self._lock:
            self._running -= 1
            if done.cancelled():
                job.made.cancel()
            elif (error := done.exception()) is not None:
                job.made.set_exception(error)
            else:
                job.made.set_result(done.result())
            self._asked = [job for job in self._asked if not job.made.done()]
            self._spread_failures()
            self._fill()

    def _spread_failures(self) -> None:
        """What can't be built any more says why; jobs stand behind their parents, so one pass reaches all below."""
        for job in self._jobs.values():
            if job.parent is not None and job.parent.made.done() and not job.made.done():
                _pass_on_failure(job.parent, job)


def _pass_on_failure(parent: _Job, job: _Job) -> None:
    if parent.made.cancelled():
        job.made.cancel()
    elif (error := parent.made.exception()) is not None:
        job.made.set_exception(error)

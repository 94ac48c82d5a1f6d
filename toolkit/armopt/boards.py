"""The boards of a run, all of one kind: each job goes to one that is free; one that fails gives its work to another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from armopt.board_measuring import measure_on_board
from armopt.core.device import BoardKind, RuntimeName
from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.core.records import Evidence, Measurement, RunnerName
from armopt.core.stopping import Claim
from armopt.runners.base import Arrays, Job, Say
from armopt.runners.ssh.runner import BoardRunner

_R = TypeVar("_R")


class Boards:
    """Boards that work side by side. Safe to share between threads.

    Args:
        hosts: the boards.
        kind: theirs.
        say: gets progress; which boards are left out, and why.
        offline: never fetch anything from elsewhere.
        runtime: None takes the first that runs there.
        own_runtime: the boards' Python has a runtime of its own; none is sent.
        here: this machine is the one board.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        kind: BoardKind,
        *,
        say: Say,
        offline: bool = False,
        runtime: RuntimeName | None = None,
        own_runtime: bool = False,
        here: bool = False,
    ) -> None:
        self.kind = kind
        self._closed = threading.Event()
        self._say = say
        asked: dict[str, Any] = {"offline": offline, "runtime": runtime, "own_runtime": own_runtime, "here": here}
        self._runners = [BoardRunner(host, kind, say=self._tell, **asked) for host in hosts]
        self._free: queue.Queue[BoardRunner] = queue.Queue()
        for runner in self._runners:
            self._free.put(runner)
        self._left = len(self._runners)
        self._lock = threading.Lock()
        self._last: DeviceError | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the boards are called."""
        return tuple(runner.host.name for runner in self._runners)

    @property
    def runner(self) -> RunnerName:
        """How they are reached."""
        return self._runners[0].name

    @property
    def evidence(self) -> Evidence:
        """What their figures are worth."""
        return self._runners[0].evidence

    def prepare(self) -> None:
        """Have at least one board ready, so that what is wrong with all of them is known before anything is trained."""
        self.on_one(lambda runner: runner.prepare())

    def measure(
        self,
        artifact: Path,
        claim: Claim,
        *,
        samples: Sequence[NDArray[Any]] | None = None,
        threads: int | None = None,
        cpus: tuple[int, ...] | None = None,
        sustain_s: float | None = None,
    ) -> tuple[Measurement, Arrays]:
        """As `measure_on_board`, on a board that is free."""

        def work(runner: BoardRunner) -> tuple[Measurement, Arrays]:
            runner.prepare()  # first: what is wrong with a board is told before this machine runs the model
            return measure_on_board(
                runner,
                artifact,
                claim,
                samples=samples,
                threads=threads,
                cpus=cpus,
                sustain_s=sustain_s,
                say=self._tell,
            )

        return self.on_one(work)

    def outputs(self, artifact: Path, samples: Sequence[NDArray[Any]], threads: int) -> Arrays:
        """The model's outputs for all samples, shared out among the boards."""
        count = len(samples[0])
        parts = [part for part in np.array_split(np.arange(count), max(1, self._left)) if len(part)]
        delegate = self.kind.runtime.kernels == "xnnpack"

        def work(part: NDArray[Any]) -> Arrays:
            job = Job(artifact, tuple(array[part] for array in samples), threads=threads, delegate=delegate)
            return self.on_one(lambda runner: runner.run([job]))[0].outputs

        with ThreadPoolExecutor(len(parts), "outputs") as threads_of_boards:
            try:
                found = list(threads_of_boards.map(work, parts))
            except KeyboardInterrupt:
                self._closed.set()  # the threads, which are waited for, end at the next word of their board
                raise
        return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))

    def on_one(self, work: Callable[[BoardRunner], _R]) -> _R:
        """Do something on a board that is free; a board that fails is left out, and another does it.

        Raises:
            DeviceError: the last board failed, with its own words.
        """
        while True:
            runner = self._take()
            try:
                result = work(runner)
            except DeviceError as error:
                runner.close()
                with self._lock:
                    self._left -= 1
                    self._last = error
                    left = self._left
                if left == 0:
                    self._free.put(runner)  # wakes those who wait
                    raise
                self._tell(f"{error}; going on with {left} of the boards")
            except BaseException:
                self._free.put(runner)
                raise
            else:
                self._free.put(runner)
                return result

    def close(self) -> None:
        """Give all boards back; what still works on one is ended."""
        self._closed.set()
        for runner in self._runners:
            runner.close()

    def _take(self) -> BoardRunner:
        runner = self._free.get()
        if self._left == 0:
            self._free.put(runner)
            assert self._last is not None
            raise self._last
        return runner

    def _tell(self, text: str) -> None:
        if self._closed.is_set() and threading.current_thread() is not threading.main_thread():
            raise KeyboardInterrupt  # the run has ended, by Ctrl-C or an error: no one waits for this any more
        self._say(text)

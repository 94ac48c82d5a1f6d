"""Real processes with a small program in the worker's place, which answers what a worker answers."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from armopt.core.errors import ModelError, WorkerError
from armopt.core.events import Event, Note, TrainingStep, few_steps
from armopt.workers.local import LocalPool

# The task's path says what to do; the file named by its key counts how often it was tried.
WORKER = """
import os, pickle, signal, sys, time
from armopt.core.errors import ModelError
from armopt.core.events import TrainingStep
from armopt.workers.answers import Done, Failed, Told
def say(answer):
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()
print("chatter", file=sys.stderr)
while True:
    try:
        task = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    with open(task.key, "a") as file:
        file.write(f"{os.getpid()} {os.environ['TF_NUM_INTRAOP_THREADS']}\\n")
    tries = len(open(task.key).readlines())
    say(Told(TrainingStep(task.path, 1, 2, 1, 1, 0.5)))
    if task.path == "dies" or (task.path == "dies once" and tries == 1):
        print("out of memory", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if task.path == "sleeps":
        time.sleep(60)
    say(Failed(ModelError("training diverged", "lower the rate")) if task.path == "fails" else Done(True))
"""


@contextmanager
def workers(count: int, tell: Callable[[Event], None], program: str = WORKER) -> Iterator[LocalPool]:
    pool = LocalPool([sys.executable, "-c", program], count, 3, tell)
    try:
        yield pool
    finally:
        pool.close()


def task(path: str, folder: Path) -> Any:
    return SimpleNamespace(path=path, key=str(folder / path))


def pids(path: str, folder: Path) -> list[int]:
    return [int(line.split()[0]) for line in (folder / path).read_text().splitlines()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_tasks_are_done_and_what_happens_on_the_way_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    with workers(2, events.append) as pool:
        futures = [pool.submit(task(name, tmp_path)) for name in ("one", "two", "three")]
        assert [future.result(30) for future in futures] == [True, True, True]
    assert {event.path for event in events if isinstance(event, TrainingStep)} == {"one", "two", "three"}
    assert (tmp_path / "one").read_text().split()[1] == "3"  # threads


def test_an_error_comes_back_as_what_it_was(tmp_path: Path) -> None:
    with workers(1, lambda event: None) as pool:
        with pytest.raises(ModelError) as raised:
            pool.submit(task("fails", tmp_path)).result(30)
        assert pool.submit(task("works", tmp_path)).result(30)
    assert (raised.value.what, raised.value.mend) == ("training diverged", "lower the rate")


def test_the_task_of_a_worker_that_died_is_done_again_and_the_others_go_on(tmp_path: Path) -> None:
    events: list[Event] = []
    with workers(2, events.append) as pool:
        futures = [pool.submit(task(name, tmp_path)) for name in ("dies once", "works")]
        assert [future.result(30) for future in futures] == [True, True]
    assert len(set(pids("dies once", tmp_path))) == 2
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes == ["dies once: its worker was stopped by SIGKILL; another one does it again"]


def test_a_task_that_three_workers_died_of_is_given_up_with_their_last_words(tmp_path: Path) -> None:
    with workers(1, lambda event: None) as pool:
        with pytest.raises(WorkerError, match=r"'dies': 3 workers .* SIGKILL \(out of memory\)") as raised:
            pool.submit(task("dies", tmp_path)).result(30)
        assert pool.submit(task("works", tmp_path)).result(30)
    assert raised.value.exit_code == 4
    assert len(pids("dies", tmp_path)) == 3


def test_a_program_that_cannot_start_is_an_error_and_no_hang(tmp_path: Path) -> None:
    with (
        workers(1, lambda event: None, "raise SystemExit('no such module')") as pool,
        pytest.raises(WorkerError, match=r"ended with code 1 \(no such module\)"),
    ):
        pool.submit(task("works", tmp_path)).result(30)


def test_closing_ends_workers_in_the_middle_of_a_task_at_once(tmp_path: Path) -> None:
    with workers(1, lambda event: None) as pool:
        running, waiting = pool.submit(task("sleeps", tmp_path)), pool.submit(task("works", tmp_path))
        while not (tmp_path / "sleeps").exists() or not pids("sleeps", tmp_path):
            time.sleep(0.02)
        started = time.monotonic()
        pool.close()
        assert time.monotonic() - started < 5
    assert running.cancelled() and waiting.cancelled()
    assert not is_alive(pids("sleeps", tmp_path)[0])
    assert not (tmp_path / "works").exists()


def test_a_worker_that_somebody_kills_is_replaced(tmp_path: Path) -> None:
    with workers(1, lambda event: None) as pool:
        pool.submit(task("works", tmp_path)).result(30)
        os.kill(pids("works", tmp_path)[0], signal.SIGKILL)
        assert pool.submit(task("works too", tmp_path)).result(30)


def test_few_steps_are_told_and_the_last_one_always() -> None:
    told: list[Event] = []
    listener = few_steps(told.append, 0.5)
    for step in range(1, 101):
        listener(TrainingStep("prune", step, 100, 1, 1, 0.5))
    assert [event.step for event in told if isinstance(event, TrainingStep)] == [1, 100]

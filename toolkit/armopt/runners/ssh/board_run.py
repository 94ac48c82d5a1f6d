"""One run on a board from start to end: sends what it needs, follows it, takes up what an earlier try left."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from armopt.core.errors import DeviceError, ModelError, UsageError
from armopt.core.rounds import Round, Slice
from armopt.runners.base import Job, RunResult, Say
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.board_spec import Setup, Timing, specify
from armopt.runners.ssh.errors import reason
from armopt.runners.ssh.journal import Journal
from armopt.runners.ssh.outputs import Told, read_arrays
from armopt.runners.ssh.told import Event

__all__ = ["BoardRun", "Ran", "Setup", "Timing"]

# Without a new sample, round or slice for so long, a run hangs.
QUIET_S = 300.0


@dataclass(frozen=True)
class Ran:
    """What came of a run: a result per job, and the rounds of timing the first, or the slices of sustained work."""

    results: tuple[RunResult, ...]
    rounds: tuple[Round, ...]
    slices: tuple[Slice, ...] = ()


class BoardRun:
    """A run of jobs, and of timing their first.

    Args:
        board: its folder, locked.
        setup: of the board.
        jobs: all samples of each are run once.
        timing: None: not timed.
        enough: asked after each round, of all rounds so far; True ends the timing.
        say: gets progress.
    """

    def __init__(
        self,
        board: BoardFolder,
        setup: Setup,
        jobs: Sequence[Job],
        timing: Timing | None,
        enough: Callable[[Sequence[Round]], bool],
        say: Say,
    ) -> None:
        self._board, self._jobs, self._enough, self._say = board, jobs, enough, say
        self._where = board.host.name
        self._spec = specify(setup, jobs, timing)
        self._most_rounds: int = self._spec.told["rounds"]
        self._most_slices = timing.slices if timing else 0
        self._samples = sum(job.samples for job in jobs)
        key = hashlib.sha256(json.dumps(self._spec.told, sort_keys=True).encode()).hexdigest()
        self._journal = Journal(board.host.name, key)
        self._rounds: list[Round] = []
        self._slices: list[Slice] = []
        self._told: list[Any] = []
        self._failed: Event | None = None
        self._done = self._ended = False
        self._news, self._counts = time.monotonic(), {"progress": 0, "cooling": 0}

    def run(self) -> Ran:
        """Bring the run to its end.

        Raises:
            DeviceError: the board failed; LostConnection where only the connection did.
            ModelError: the runtime refuses the model or dies of it.
            UsageError: the samples do not fit the model.
        """
        self._rounds = [self._round(told) for told in self._journal.rounds]
        if self._rounds:
            self._say(f"{self._where}: going on after {len(self._rounds)} rounds that were kept")
            self._done = self._enough(self._rounds)
        name = self._journal.run
        try:
            self._try(name)
            if not self._ended and not (self._done and self._told):
                self._say(f"{self._where}: the run died on the board; starting it again")
                self._try(name)
        except KeyboardInterrupt:
            self._leave(name)
            raise
        self._check_end()
        results = tuple(self._result(name, index) for index in range(len(self._jobs)))
        with contextlib.suppress(DeviceError):  # all is here, and what is left there does no harm
            self._board.forget(name)
        self._journal.close()
        return Ran(results, tuple(self._rounds), tuple(self._slices))

    def _try(self, name: str) -> None:
        self._board.lock()  # a board that was rebooted knows of none
        self._board.send(self._spec.contents)
        if self._done:
            self._board.stop(name)
        rounds = 0 if self._done else self._most_rounds
        self._slices, self._failed, self._news = [], None, time.monotonic()
        self._board.start(name, {**self._spec.told, "first_round": len(self._rounds), "rounds": rounds})
        self._board.follow(name, self._hear)

    def _leave(self, name: str) -> None:
        """Stop the board's work; a second Ctrl-C, or a lost connection, leaves it to end by itself."""
        with contextlib.suppress(DeviceError, KeyboardInterrupt):
            self._board.disconnect()
            self._board.stop(name, at_once=True)

    def _hear(self, event: Event) -> None:
        """Take an event. What says that something came further counts only as often as an honest board says it."""
        kind = event["event"]
        if kind == "round":
            self._hear_round(event)
        elif kind == "slice":
            self._hear_slice(event)
        elif kind == "outputs" and isinstance(event.get("told"), list) and not self._told:
            self._told, self._news = event["told"], time.monotonic()
        elif kind == "progress" and self._is_news(kind, self._samples):
            self._say(f"{self._where}: {_shown(event, 'done')} of {_shown(event, 'samples')} samples")
        elif kind == "cooling" and self._is_news(kind, 2 * self._most_rounds):
            self._say(f"{self._where}: waiting for it to cool down")
        elif kind in ("error", "agent_failed"):
            self._failed = event
        elif kind == "end":
            self._ended = True
        if time.monotonic() - self._news > QUIET_S:
            self._board.stop(self._journal.run)
            raise DeviceError(f"{self._where}: nothing came of the run for {QUIET_S:.0f} s; it was ended", "run again")

    def _is_news(self, kind: str, most: int) -> bool:
        self._counts[kind] += 1
        if self._counts[kind] > most:
            return False
        self._news = time.monotonic()
        return True

    def _hear_round(self, event: Event) -> None:
        index, told = event.get("index"), event.get("told")
        if not isinstance(told, list) or len(told) != 1 or not isinstance(told[0], dict):
            raise self._nonsense("a round")
        if not isinstance(index, int) or index < 0:
            raise self._nonsense("a round's number")
        if self._done or index < len(self._rounds) or index >= self._most_rounds:
            return  # finished after the last that was needed, or known from an earlier try
        if index > len(self._rounds):
            raise self._nonsense("a round's number")
        made = self._round(told[0])
        self._news = time.monotonic()
        self._rounds.append(made)
        self._journal.add(told[0])
        middle = sorted(made.raw_ms)[len(made.raw_ms) // 2]
        self._say(f"{self._where}: round {len(self._rounds)} of at most {self._most_rounds}: {middle:.3g} ms")
        if self._enough(self._rounds) and len(self._rounds) < self._most_rounds:
            self._done = True
            self._board.stop(self._journal.run)

    def _hear_slice(self, event: Event) -> None:
        try:
            made = Slice.model_validate(event.get("told"))
        except ValidationError as error:
            raise self._nonsense("a slice") from error
        if made.index != len(self._slices) or made.index >= self._most_slices:
            raise self._nonsense("a slice's number")
        self._news = time.monotonic()
        self._slices.append(made)
        middle = sorted(made.raw_ms)[len(made.raw_ms) // 2]
        self._say(f"{self._where}: {middle:.3g} ms after {made.seconds:.0f} s")

    def _round(self, told: dict[str, Any]) -> Round:
        try:
            return Round.model_validate(told)
        except ValidationError as error:
            raise self._nonsense("a round") from error

    def _nonsense(self, what: str) -> DeviceError:
        return DeviceError(f"{self._where} tells {what} that makes no sense", "check what runs there")

    def _check_end(self) -> None:
        if self._failed is not None:
            self._refuse(self._failed)
        if not self._ended and not self._done:
            raise DeviceError(f"{self._where}: the run died twice on the board", "run again: finished rounds are kept")
        too_short = len(self._rounds) < self._most_rounds and not self._done
        if too_short or len(self._slices) < self._most_slices or len(self._told) != len(self._jobs):
            raise self._nonsense("an end")

    def _refuse(self, event: Event) -> None:
        text, job = reason(event.get("text", "")), self._jobs[0]
        if event["event"] == "agent_failed":
            code = event.get("code")
            if code == -9:
                raise DeviceError(
                    f"{self._where}: the agent was killed",
                    "check the board's free memory, then run again: finished rounds are kept",
                )
            if isinstance(code, int) and -64 <= code < 0:
                raise ModelError(
                    f"{job.model}: the runtime crashed on this file at {self._where} (signal {-code})",
                    "check that it is whole, and armopt doctor --host " + self._where,
                )
            raise DeviceError(f"{self._where}: the agent failed ({text})", "run: armopt hosts prepare " + self._where)
        if event.get("kind") == "input":
            raise UsageError(f"{job.model}: the samples do not fit: {text}", "give one array per model input")
        if event.get("kind") == "model":
            raise ModelError(f"{job.model}: the runtime can't run it ({text})", "check that it is a whole .tflite file")
        raise DeviceError(f"{self._where}: {text}", "run again: finished rounds are kept")

    def _result(self, name: str, index: int) -> RunResult:
        samples = self._jobs[index].samples
        try:
            told = Told.model_validate(self._told[index])
            stored = self._board.fetch(name, f"outputs-{index}.npz", told.stored_bytes(samples))
            outputs = read_arrays(stored, told, samples)
        except ValueError as error:  # pydantic's is one, too
            raise self._nonsense("outputs") from error
        environment = {"runtime": told.runtime, "numpy": told.numpy}
        return RunResult(outputs, tuple(one.scale for one in told.outputs), None, told.raw_ms, environment)


def _shown(event: Event, key: str) -> int:
    value = event.get(key)
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0

"""One run on a board from start to end: sends what it needs, follows it, takes up what an earlier try left."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from armopt.core.errors import DeviceError, ModelError, UsageError
from armopt.core.rounds import Round, Slice
from armopt.runners.agent_job import AGENT, WARMUPS
from armopt.runners.base import Job, RunResult, Say
from armopt.runners.ssh.board_folder import BoardFolder, Content, sha256_of
from armopt.runners.ssh.journal import Journal
from armopt.runners.ssh.outputs import Told, read_arrays
from armopt.runners.ssh.told import Event

# Without a new sample, round or word of cooling for so long, a run hangs.
QUIET_S = 300.0
SLICE_S = 5.0  # of sustained work are told of together


@dataclass(frozen=True)
class Timing:
    """How a model is timed.

    Attributes:
        rounds: fresh processes at most.
        warmup_s: of inferences that are not timed, in each.
        inferences: timed at most in each.
        seconds: of timing in each.
        cpus: to be pinned to; None leaves that to the kernel.
        cool_below_c: wait before each round until the board is no warmer.
        cool_wait_s: but no longer than this.
        sustain_s: in place of rounds, one process works so long without a pause.
    """

    rounds: int
    warmup_s: float = 0.5
    inferences: int | None = 200
    seconds: float = 2.0
    cpus: tuple[int, ...] | None = None
    cool_below_c: float | None = None
    cool_wait_s: float = 60.0
    sustain_s: float | None = None


@dataclass(frozen=True)
class Setup:
    """What runs models on the board: its Python, and the folder of packages (None: that Python's own)."""

    python: str
    runtime: str | None


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
        self._board, self._jobs, self._timing, self._enough, self._say = board, jobs, timing, enough, say
        self._where = board.host.name
        self._contents: dict[str, Content] = {}
        self._spec = self._specified(setup)
        key = hashlib.sha256(json.dumps(self._spec, sort_keys=True).encode()).hexdigest()
        self._journal = Journal(board.host.name, key)
        self._rounds: list[Round] = []
        self._slices: list[Slice] = []
        self._told: list[dict[str, Any]] = []
        self._failed: Event | None = None
        self._done = self._ended = False
        self._heard = time.monotonic()

    def run(self) -> Ran:
        """Bring the run to its end.

        Raises:
            DeviceError: the board failed; LostConnection where only the connection did.
            ModelError: the runtime refuses the model or dies of it.
            UsageError: the samples do not fit the model.
        """
        kept = [self._round(told) for told in self._journal.rounds]
        if kept:
            self._say(f"{self._where}: going on after {len(kept)} rounds that were kept")
            self._rounds = kept
            self._done = self._enough(kept)
        name = self._journal.run
        try:
            for attempt in (1, 2):
                self._board.send(self._contents)
                first = len(self._rounds)
                spec = {**self._spec, "first_round": first, "rounds": 0 if self._done else self._spec["rounds"]}
                self._board.start(name, spec)
                self._board.follow(name, self._hear)
                if self._ended or self._done:
                    break
                if attempt == 1:
                    self._say(f"{self._where}: the run died on the board; starting it again")
        except KeyboardInterrupt:
            self._leave(name)
            raise
        self._check_end()
        results = tuple(self._result(name, index) for index in range(len(self._jobs)))
        self._journal.close()
        self._board.forget(name)
        return Ran(results, tuple(self._rounds), tuple(self._slices))

    def _leave(self, name: str) -> None:
        """Stop the board's work; a second Ctrl-C, or a lost connection, leaves it to end by itself."""
        try:
            self._board.disconnect()
            self._board.stop(name)
        except (DeviceError, KeyboardInterrupt):
            pass

    def _specified(self, setup: Setup) -> dict[str, Any]:
        agent = self._content(AGENT)
        jobs = []
        for index, job in enumerate(self._jobs):
            arrays: dict[str, Any] = {f"a{position}": array for position, array in enumerate(job.inputs)}
            packed = io.BytesIO()
            np.savez(packed, **arrays)
            jobs.append(
                {
                    "model": self._content(job.model),
                    "inputs": self._content(packed.getvalue()),
                    "outputs": f"outputs-{index}.npz",
                    "threads": job.threads,
                    "delegate": job.delegate,
                    "warmups": WARMUPS,
                }
            )
        spec: dict[str, Any] = {"agent": agent, "python": setup.python, "runtime": setup.runtime, "outputs": jobs}
        timing = self._timing
        spec["rounds"] = timing.rounds if timing else 0
        if timing is not None:
            cpus = list(timing.cpus) if timing.cpus else None
            told: dict[str, Any] = {
                "warmup_s": timing.warmup_s,
                "inferences": timing.inferences,
                "seconds": timing.seconds,
            }
            shared = {key: jobs[0][key] for key in ("model", "inputs", "threads", "delegate")}
            spec["timing"] = {**shared, "time": {**told, "cpus": cpus}}
            if timing.sustain_s is not None:
                slices = max(20, round(timing.sustain_s / SLICE_S))
                told |= {"seconds": timing.sustain_s / slices, "slices": slices, "cpus": cpus}
                spec["sustain"], spec["rounds"] = {**shared, "time": told}, 0
            if timing.cool_below_c is not None:
                spec["cool"] = {"below_c": timing.cool_below_c, "wait_s": timing.cool_wait_s}
        return spec

    def _content(self, content: Content) -> str:
        digest = sha256_of(content)
        self._contents[digest] = content
        return digest

    def _hear(self, event: Event) -> None:
        kind = event["event"]
        if kind == "round":
            self._hear_round(event)
        elif kind == "slice":
            self._hear_slice(event)
        elif kind == "outputs" and isinstance(event.get("told"), list):
            self._told, self._heard = event["told"], time.monotonic()
        elif kind == "progress":
            self._heard = time.monotonic()
            self._say(f"{self._where}: {_shown(event, 'done')} of {_shown(event, 'samples')} samples")
        elif kind == "cooling":
            self._heard = time.monotonic()
            self._say(f"{self._where}: waiting for it to cool down")
        elif kind in ("error", "agent_failed"):
            self._failed = event
        elif kind == "end":
            self._ended = True
        if time.monotonic() - self._heard > QUIET_S:
            self._board.stop(self._journal.run)
            raise DeviceError(f"{self._where}: nothing came of the run for {QUIET_S:.0f} s; it was ended", "run again")

    def _hear_round(self, event: Event) -> None:
        index, told = event.get("index"), event.get("told")
        if not isinstance(told, list) or len(told) != 1 or not isinstance(told[0], dict):
            raise self._nonsense("a round")
        if not isinstance(index, int) or index > len(self._rounds):
            raise self._nonsense("a round's number")
        if index < len(self._rounds) or self._done:
            return  # known from an earlier try, or finished after the last that was needed
        made = self._round(told[0])
        self._heard = time.monotonic()
        self._rounds.append(made)
        self._journal.add(told[0])
        most = self._timing.rounds if self._timing else 0
        middle = sorted(made.raw_ms)[len(made.raw_ms) // 2]
        self._say(f"{self._where}: round {len(self._rounds)} of at most {most}: {middle:.3g} ms")
        if self._enough(self._rounds) and len(self._rounds) < most:
            self._done = True
            self._board.stop(self._journal.run)

    def _hear_slice(self, event: Event) -> None:
        try:
            made = Slice.model_validate(event.get("told"))
        except ValidationError as error:
            raise self._nonsense("a slice") from error
        if made.index > len(self._slices):
            raise self._nonsense("a slice's number")
        self._heard = time.monotonic()
        self._slices = [*self._slices[: made.index], made]  # a run that died begins again with the first
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
        if len(self._told) != len(self._jobs):
            raise self._nonsense("an end")

    def _refuse(self, event: Event) -> None:
        text, job = " ".join(str(event.get("text", "")).split())[:300], self._jobs[0]
        if event["event"] == "agent_failed":
            code = event.get("code")
            if code == -9:
                raise DeviceError(
                    f"{self._where}: the agent was killed", "check the board's free memory; finished rounds are kept"
                )
            if isinstance(code, int) and code < 0:
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
        try:
            told = Told.model_validate(self._told[index])
            outputs = read_arrays(self._board.fetch(name, f"outputs-{index}.npz"), told, self._jobs[index].samples)
        except ValueError as error:  # pydantic's is one, too
            raise self._nonsense("outputs") from error
        environment = {"runtime": told.runtime, "numpy": told.numpy}
        return RunResult(outputs, tuple(one.scale for one in told.outputs), None, told.raw_ms, environment)


def _shown(event: Event, key: str) -> int:
    value = event.get(key)
    return value if isinstance(value, int) else 0

"""What is asked of a board: which models are run with which samples, and how the first is timed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from armopt.runners.agent_job import AGENT, WARMUPS
from armopt.runners.base import Job
from armopt.runners.ssh.board_folder import Content, sha256_of

SLICE_S = 5.0  # of sustained work are told of together
_FEWEST_SLICES = 20


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

    @property
    def slices(self) -> int:
        """Into so many is sustained work cut; 0 where there is none."""
        return 0 if self.sustain_s is None else max(_FEWEST_SLICES, round(self.sustain_s / SLICE_S))


@dataclass(frozen=True)
class Setup:
    """What runs models on the board: its Python, and the folder of packages (None: that Python's own)."""

    python: str
    runtime: str | None


@dataclass(frozen=True)
class Spec:
    """What is asked, as the board's scripts take it, and the files that it names by their checksums."""

    told: dict[str, Any]
    contents: dict[str, Content]


def specify(setup: Setup, jobs: Sequence[Job], timing: Timing | None) -> Spec:
    """Write down what is asked: all samples of each job run once, and the first job timed."""
    contents: dict[str, Content] = {}

    def named(content: Content) -> str:
        digest = sha256_of(content)
        contents[digest] = content
        return digest

    asked = []
    for index, job in enumerate(jobs):
        arrays: dict[str, Any] = {f"a{position}": array for position, array in enumerate(job.inputs)}
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        shared: dict[str, Any] = {"model": named(job.model), "inputs": named(packed.getvalue())}
        shared |= {"threads": job.threads, "delegate": job.delegate}
        asked.append({**shared, "outputs": f"outputs-{index}.npz", "warmups": WARMUPS})
    told: dict[str, Any] = {"agent": named(AGENT), "python": setup.python, "runtime": setup.runtime, "outputs": asked}
    told["rounds"] = timing.rounds if timing and not timing.slices else 0
    if timing is not None:
        timed = {key: asked[0][key] for key in ("model", "inputs", "threads", "delegate")}
        limits: dict[str, Any] = {"warmup_s": timing.warmup_s, "inferences": timing.inferences}
        limits["seconds"] = timing.seconds
        limits["cpus"] = list(timing.cpus) if timing.cpus else None
        told["timing"] = {**timed, "time": dict(limits)}
        if timing.sustain_s is not None:
            limits |= {"seconds": timing.sustain_s / timing.slices, "slices": timing.slices}
            told["sustain"] = {**timed, "time": limits}
        if timing.cool_below_c is not None:
            told["cool"] = {"below_c": timing.cool_below_c, "wait_s": timing.cool_wait_s}
    return Spec(told, contents)

"""The contract of a runner: prepare, run, close. Measuring knows nothing else of where a model runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from armopt.core.counts import Counts
from armopt.core.device import BoardKind
from armopt.core.errors import UsageError
from armopt.core.records import Evidence, RunnerName
from armopt.runners import RUNNERS

Say = Callable[[str], None]
Arrays = tuple[NDArray[np.generic], ...]


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        model: the .tflite file.
        inputs: one array per model input, in the model's order, first axis the samples; each sample has as many
            elements as the input tensor with its dynamic dimensions set to 1, and already the tensor's type.
        threads: threads of the runtime.
        count: count the executed instructions of one inference, where the backend can.
        delegate: use XNNPACK's kernels, as runtimes do by default; False: the runtime's own (ruy).
    """

    model: Path
    inputs: Arrays
    threads: int = 1
    count: bool = False
    delegate: bool = True

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.inputs[0]) if self.inputs else 0


@dataclass(frozen=True)
class RunResult:
    """What came back: `outputs` like `Job.inputs`; `steps` is the quantisation step of each output (0 for float).

    `counts` is None where nothing was counted. `environment` holds what the run said of itself, as text.
    """

    outputs: Arrays
    steps: tuple[float, ...]
    counts: Counts | None = None
    raw_ms: tuple[float, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


class Runner(Protocol):
    """A place where models run. Not safe to share between threads.

    All methods raise DeviceError where the place itself fails and ModelError where the model can't be run.
    """

    name: RunnerName
    evidence: Evidence

    def prepare(self) -> None:
        """Bring the place up: build or connect what is missing. Calling it again is cheap."""

    def run(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Run the jobs in turn, in one process, and bring back what each produced."""

    def close(self) -> None:
        """Give back what the runner holds (connections, scratch folders). Cached tools stay."""


class MakeRunner(Protocol):
    """What a backend's module offers as `make_runner`."""

    def __call__(self, device: BoardKind | None, *, say: Say, offline: bool) -> Runner:
        """A runner for that kind of board; `say` gets progress, `offline` forbids the network."""


def make_runner(name: str, device: BoardKind | None, *, say: Say, offline: bool = False) -> Runner:
    """A runner of the backend called `name`. Raises UsageError for a name that `RUNNERS` does not hold."""
    if name not in RUNNERS:
        raise UsageError(f"unknown runner {name!r}", "known: " + ", ".join(RUNNERS))
    make = cast(MakeRunner, importlib.import_module(RUNNERS[name]).make_runner)
    return make(device, say=say, offline=offline)

"""The LiteRT interpreter of this machine, in a child process: a broken model must not take the caller along."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from armopt.core.device import BoardKind
from armopt.core.errors import DeviceError, ModelError
from armopt.core.records import Evidence, RunnerName
from armopt.runners.agent_job import AGENT, follow, read_outputs, write_job
from armopt.runners.base import Job, RunResult, Say


class LocalRunner:
    """Runs models on this machine. Its timings are this machine's, never a board's."""

    name: RunnerName = "local"
    evidence: Evidence = "measured"

    def __init__(self, say: Say) -> None:
        self._say = say
        self._folder = tempfile.TemporaryDirectory(prefix="armopt-local-")
        self._told: dict[str, Any] = {}

    def prepare(self) -> None:
        """Nothing to bring up; a missing runtime shows in `run`."""

    def describe(self, model: Path) -> list[dict[str, Any]]:
        """The model's inputs: name, shape (dynamic dimensions are 1), dtype, scale, zero_point.

        Raises:
            ModelError: the file is missing or no model that the runtime loads.
        """
        _check_header(model)
        job = Job(model, ())
        inputs = self._follow(write_job(Path(self._folder.name), job, describe_only=True), job)["inputs"]
        return list(inputs)

    def run(self, job: Job) -> None:
        """Run all samples of the job."""
        _check_header(job.model)
        self._told = self._follow(write_job(Path(self._folder.name), job), job)

    def fetch(self) -> RunResult:
        """Outputs and times of the last run."""
        if not self._told:
            raise DeviceError("this machine: nothing was run", "call run first")
        outputs, steps = read_outputs(Path(self._folder.name), self._told)
        environment = {"runtime": str(self._told["runtime"]), "numpy": str(self._told["numpy"])}
        return RunResult(outputs, steps, None, tuple(self._told["raw_ms"]), environment)

    def close(self) -> None:
        """Remove the scratch folder."""
        self._folder.cleanup()

    def _follow(self, job_path: Path, job: Job) -> dict[str, Any]:
        command = [sys.executable, str(AGENT), str(job_path)]
        return follow(command, job, where="this machine", say=self._say, env=os.environ)


def make_runner(device: BoardKind | None, *, say: Say, offline: bool) -> LocalRunner:
    """A runner on this machine; `device` and `offline` change nothing."""
    return LocalRunner(say)


def _check_header(model: Path) -> None:
    try:
        with model.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ModelError(f"{model}: can't be read ({error.strerror})", "check the path") from error
    if head[4:8] != b"TFL3":  # the file identifier of the TFLite flatbuffer schema
        raise ModelError(f"{model}: not a TFLite model (no TFL3 identifier)", "give a .tflite file")

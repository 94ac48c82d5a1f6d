"""The LiteRT interpreter of this machine, in a child process: a broken model must not take the caller along."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from armopt.core.device import BoardKind
from armopt.core.errors import ModelError
from armopt.core.records import Evidence, RunnerName
from armopt.runners.agent_job import AGENT, follow, read_outputs, write_jobs
from armopt.runners.base import Job, RunResult, Say


class LocalRunner:
    """Runs models on this machine. Its timings are this machine's, never a board's."""

    name: RunnerName = "local"
    evidence: Evidence = "measured"

    def __init__(self, say: Say) -> None:
        self._say = say
        self._folder = tempfile.TemporaryDirectory(prefix="armopt-local-")

    def prepare(self) -> None:
        """Nothing to bring up; a missing runtime shows in `run`."""

    def describe(self, model: Path) -> list[dict[str, Any]]:
        """The model's inputs: name, shape (dynamic dimensions are 1), dtype, scale, zero_point.

        Raises:
            ModelError: the file is missing or no model that the runtime loads.
        """
        [told] = self._follow([Job(model, ())], describe_only=True)
        return list(told["inputs"])

    def run(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Run all samples of the jobs."""
        results = []
        for index, told in enumerate(self._follow(jobs)):
            outputs, steps = read_outputs(Path(self._folder.name), index, told)
            environment = {"runtime": str(told["runtime"]), "numpy": str(told["numpy"])}
            results.append(RunResult(outputs, steps, None, tuple(told["raw_ms"]), environment))
        return results

    def close(self) -> None:
        """Remove the scratch folder."""
        self._folder.cleanup()

    def _follow(self, jobs: Sequence[Job], *, describe_only: bool = False) -> list[dict[str, Any]]:
        for job in jobs:
            _check_header(job.model)
        path = write_jobs(Path(self._folder.name), jobs, describe_only=describe_only)
        command = [sys.executable, str(AGENT), str(path)]
        return follow(command, jobs, where="this machine", say=self._say, env=os.environ)


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

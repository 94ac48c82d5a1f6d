"""The caller's side of agent.py: writes a job into a folder, follows the agent's lines, reads what it left there."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from armopt.core.errors import DeviceError, ModelError, UsageError
from armopt.runners.base import Arrays, Job, Say

AGENT = Path(__file__).with_name("agent.py")
WARMUPS = 1  # one inference makes the runtime pack weights and choose kernels; the next ones repeat each other


def write_jobs(folder: Path, jobs: Sequence[Job], *, describe_only: bool = False) -> Path:
    """Write jobs.json and each job's inputs into `folder` and return the path of the former."""
    written = []
    for index, job in enumerate(jobs):
        values: dict[str, Any] = {"model": str(job.model.resolve()), "threads": job.threads, "delegate": job.delegate}
        if not describe_only:
            inputs = folder / f"inputs-{index}.npz"
            arrays: dict[str, Any] = {f"a{position}": array for position, array in enumerate(job.inputs)}
            np.savez(inputs, **arrays)
            values |= {"inputs": str(inputs), "outputs": str(outputs_path(folder, index))}
            values |= {"warmups": WARMUPS, "mark": job.count}
        written.append(values)
    path = folder / "jobs.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    return path


def outputs_path(folder: Path, index: int) -> Path:
    """Where the agent leaves the outputs of one job."""
    return folder / f"outputs-{index}.npz"


def follow(
    command: Sequence[str], jobs: Sequence[Job], *, where: str, say: Say, env: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Run the agent by `command` and return, for each job, its `loaded` and `done` events merged.

    Raises:
        ModelError: the runtime refuses the model, or dies of it.
        UsageError: the samples do not fit the model.
        DeviceError: the agent can't run at `where`.
    """
    told: list[dict[str, Any]] = []
    # stderr goes to a file: a runtime that complains much would fill a pipe that nobody reads, and hang.
    with (
        tempfile.TemporaryFile("w+", errors="replace") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=dict(env)) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            event = _parse(line)
            kind = event.pop("event", None)
            if kind == "progress":
                say(f"{where}: {event['done']} of {event['samples']} samples")
            elif kind == "error":
                _refuse(event, jobs[max(0, len(told) - 1)])
            elif kind == "loaded":
                told.append(event)
                if len(jobs) > 1:
                    say(f"{where}: {jobs[len(told) - 1].model.name}, {len(told)} of {len(jobs)}")
            elif kind == "done":
                told[-1] |= event
        process.wait()
        stderr.seek(0)
        complaint = stderr.read().strip().splitlines()
    if process.returncode == 0:
        return told
    last = complaint[-1][:300] if complaint else "no message"
    if process.returncode < 0 or "signal" in last:
        # A flatbuffer that passes the header check can still send the runtime astray: never take the caller along.
        running = len(told) - ("outputs" not in told[-1] if told else 0)  # jobs that came to their end
        model = jobs[min(running, len(jobs) - 1)].model
        raise ModelError(f"{model}: the runtime crashed on this file at {where} ({last})", "check that it is whole")
    raise DeviceError(f"{where}: the agent failed with exit code {process.returncode} ({last})", "see the message")


def read_outputs(folder: Path, index: int, told: Mapping[str, Any]) -> tuple[Arrays, tuple[float, ...]]:
    """The outputs that the agent stored for a job, and the quantisation step of each (0.0 for float outputs)."""
    with np.load(outputs_path(folder, index), allow_pickle=False) as stored:
        outputs = tuple(stored[f"a{position}"] for position in range(len(stored.files)))
    return outputs, tuple(float(tensor["scale"]) for tensor in told["outputs"])


def _parse(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}  # the runtime's own chatter
    return event if isinstance(event, dict) else {}


def _refuse(event: Mapping[str, Any], job: Job) -> None:
    text = " ".join(str(event.get("text", "")).split())[:300]
    if event.get("kind") == "input":
        raise UsageError(f"{job.model}: the samples do not fit: {text}", "give one array per model input, typed as it")
    raise ModelError(f"{job.model}: the runtime can't run it ({text})", "check that it is a whole .tflite file")

"""Runs the steps of examples/ci as a CI system would, with the armopt of this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "ci"
# What only their machines do: packages of the system, and armopt from a registry.
_NOT_HERE = ("apt-get", "pip install")


@dataclass(frozen=True)
class Step:
    """One command, and whether it runs though one before it failed."""

    name: str
    script: str
    always: bool = False


def github() -> tuple[dict[str, Any], list[Step]]:
    """The workflow, and its steps that run here."""
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    steps = [
        Step(step["name"], step["run"], step.get("if") == "always()")
        for step in workflow["jobs"]["gate"]["steps"]
        if "run" in step and not any(word in step["run"] for word in _NOT_HERE)
    ]
    return workflow, steps


def gitlab() -> tuple[dict[str, Any], list[Step]]:
    """The job, and its steps that run here."""
    job = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())["latency-gate"]
    steps = [Step(f"script {number}", line) for number, line in enumerate(job["script"])]
    return job, [*steps, *(Step("after", line, always=True) for line in job["after_script"])]


def run_steps(steps: Sequence[Step], repository: Path, cache: Path, *, offline: bool) -> tuple[int, str]:
    """Run them in a repository's folder; the exit code of the first that fails, and all that was printed.

    Args:
        steps: in order.
        repository: with model.tflite and baseline.json.
        cache: armopt's.
        offline: refuse the network: in a namespace that has none where that is permitted, else by a proxy that is not.
    """
    environment = {**os.environ, "ARMOPT_CACHE_DIR": str(cache), "GITHUB_STEP_SUMMARY": str(repository / "summary.md")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    code, told = 0, []
    prefix = _without_network() if offline else []
    if offline and not prefix:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            environment[name] = "http://127.0.0.1:9"
    for step in steps:
        if code and not step.always:
            continue
        # As GitHub's runners call it; the first command that fails ends the step.
        command = [*prefix, "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.script]
        done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=900)
        told.append(f"{step.name}\n{done.stdout}{done.stderr}")
        code = code or done.returncode
    return code, "\n".join(told)


def _without_network() -> list[str]:
    for words in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        permitted = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
        if permitted:
            return words
    return []

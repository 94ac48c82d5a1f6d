"""The main job as a user runs it, and what happens when it is killed, doubled or runs out of disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_project import write_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PROFILE = """
name = "three"
tree = ["ptq", "prune", "prune/ptq", "prune/cluster", "prune/cluster/ptq"]
[common]
epochs = 1
min_steps = 150
batch_size = 16
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small trained-enough model, its data and a profile of three trained levels."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, 512, 128)
    (folder / "three.toml").write_text(PROFILE)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """An empty store that shares the emulator's files, which take a while to fetch, with the user's cache."""
    from armopt.catalog.search_path import cache_dir

    shared, own = cache_dir(), tmp_path / "cache"
    own.mkdir()
    for item in shared.iterdir() if shared.is_dir() else ():
        if item.name != "store":
            (own / item.name).symlink_to(item)
    yield own


def _command(project: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "armopt", "deploy", "model.keras", "--data", "data.npz", "--device", "pi4",
            "--emulate", "--profile", "three.toml", "--until", "best", "--json", *more]  # fmt: skip


def _environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "ARMOPT_CACHE_DIR": str(cache)}


def _run(project: Path, cache: Path, *more: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(project, *more),
        cwd=project,
        env=_environment(cache),
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def _start(project: Path, cache: Path, out: str) -> subprocess.Popen[str]:
    return subprocess.Popen(_command(project, "--out", out), cwd=project, env=_environment(cache), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def _wait_for(process: subprocess.Popen[str], text: str) -> list[str]:
    """Read stderr until a line starts with `text`; returns the lines so far."""
    assert process.stderr is not None
    lines = []
    deadline = time.monotonic() + 120
    for line in process.stderr:
        lines.append(line)
        if line.startswith(text):
            return lines
        assert time.monotonic() < deadline
    raise AssertionError(f"no line starts with {text!r}:\n{''.join(lines)}")


def _trained(stderr: str) -> set[str]:
    """Nodes that were worked on, from the plain lines `path: work`, as opposed to fetched from the store."""
    return {line.split(":")[0] for line in stderr.splitlines() if ": prune to " in line or ": cluster to " in line}


def test_the_same_command_again_trains_nothing_and_says_the_same(project: Path, cache: Path) -> None:
    first, second = _run(project, cache), _run(project, cache)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert _trained(first.stderr) == {"prune", "prune/cluster"}
    assert _trained(second.stderr) == set()
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert one["nodes"] == two["nodes"]


@pytest.mark.parametrize("sent, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_in_the_middle_of_a_stage_goes_on_from_the_last_finished_node(
    project: Path, cache: Path, sent: signal.Signals, code: int
) -> None:
    process = _start(project, cache, "stopped")
    _wait_for(process, "prune/cluster: cluster to")
    process.send_signal(sent)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == code, rest
    if sent == signal.SIGINT:
        assert rest.splitlines()[-1] == "armopt: interrupted; the same command continues"
    again = _run(project, cache)
    assert again.returncode == 0, again.stderr
    assert _trained(again.stderr) == {"prune/cluster"}


def test_two_runs_at_once_on_one_store_finish_with_the_same_nodes_each_trained_once(project: Path, cache: Path) -> None:
    processes = [_start(project, cache, f"out{number}") for number in range(2)]
    finished = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], finished
    nodes = [json.loads(stdout)["nodes"] for stdout, _ in finished]
    assert nodes[0] == nodes[1]
    trained = sorted(path for _, stderr in finished for path in _trained(stderr))
    assert trained == ["prune", "prune/cluster"]


def test_a_full_disk_is_one_line_and_loses_no_finished_node(project: Path, cache: Path) -> None:
    finished = _run(project, cache, "--until", "first")
    assert finished.returncode == 0, finished.stderr

    def small_files_only() -> None:
        # A process that may not write past 4 KiB meets the same failing writes as on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    full = _run(project, cache, preexec_fn=small_files_only)
    assert full.returncode == 4, full.stderr
    assert full.stderr.splitlines()[-1].startswith("armopt: ")
    assert "Traceback" not in full.stderr
    again = _run(project, cache)
    assert again.returncode == 0, again.stderr
    assert "ptq: built from the store" in again.stderr

"""Real workers: whoever builds a node, and whoever dies of it, the node is the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armopt.core.errors import ModelError, UsageError, WorkerError
from armopt.core.events import Event, Listener, NodeStarted, TrainingStep, silent
from armopt.core.profile import Profile
from armopt.core.tree import ROOT
from armopt.preparing import prepare_run
from armopt.search.builder import FULL, Terms
from armopt.search.crew.builder import CrewBuilder
from armopt.search.crew.task import NodeTask
from armopt.search.nodes import NodeBuilder
from armopt.search.store import Store
from armopt.workers.hire import crew_for, named_run
from armopt.workers.perform import perform
from armopt.workers.workforce import Workforce

pytestmark = pytest.mark.timeout(240)

TREE = ("ptq", "prune", "prune/ptq", "cluster", "cluster/ptq")
LEAVES = ("ptq", "prune/ptq", "cluster/ptq")
PROFILE = Profile(name="small", tree=TREE, common={"epochs": 1, "min_steps": 60, "batch_size": 16})
# What a node is: its key, its figures, and the SHA-256 of each of its files.
Nodes = dict[str, tuple[str, dict[str, float], dict[str, str]]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, with dropout so that chance has its say, and its data."""
    from armopt.compress.backend import keras

    folder = tmp_path_factory.mktemp("project")
    layers = keras.layers
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Dropout(0.2),
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    model.save(folder / "model.keras")
    random = np.random.default_rng(1)
    x = random.normal(size=(640, 12, 12, 1)).astype(np.float32)
    y = (x.mean((1, 2, 3)) > 0).astype(np.int64)
    np.savez(folder / "data.npz", x_train=x[:512], y_train=y[:512], x_test=x[512:], y_test=y[512:])
    return folder


@contextlib.contextmanager
def hired(
    project: Path, store: Path, workforce: Workforce, listener: Listener = silent, profile: Profile = PROFILE
) -> Iterator[CrewBuilder]:
    model, data = str(project / "model.keras"), str(project / "data.npz")
    run = named_run(model, data, None, None, "none", None, False, store)
    ready = prepare_run(model, data, store.parent, None, None, "none", None, False, silent)
    inner = NodeBuilder(ready.source, ready.data, ready.task, profile, {}, False, Store(store), silent)
    with crew_for(workforce, run, listener) as crew:
        yield CrewBuilder(inner, crew)


def nodes_of(builder: CrewBuilder) -> Nodes:
    builder.build(ROOT)
    builder.expect(LEAVES, all_needed=True)
    found = {path: builder.build(path) for path in TREE}
    return {path: (b.entry.key, dict(b.metrics), b.entry.record["files"]) for path, b in found.items()}


@pytest.fixture(scope="module")
def alone(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    with hired(project, tmp_path_factory.mktemp("alone"), Workforce(1)) as builder:
        return nodes_of(builder)


class KillOnce:
    """Listener that kills workers in the middle of a node's training."""

    def __init__(self, path: str, workers: Callable[[], list[int]]) -> None:
        self.path, self.workers = path, workers
        self.killed: list[int] = []
        self.started: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeStarted):
            self.started.append(event.path)
        if isinstance(event, TrainingStep) and event.path == self.path and not self.killed:
            self.killed = self.workers()
            for pid in self.killed:
                os.kill(pid, signal.SIGKILL)


def worker_processes() -> list[int]:
    """Worker processes that this process started."""
    return children(os.getpid(), "armopt.workers.child")


def children(pid: int, program: str = "armopt.") -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [int(child) for child, parent, args in rows if int(parent) == pid and program in args]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_workers_both_killed_on_the_way_make_the_nodes_that_one_makes(
    project: Path, alone: Nodes, tmp_path: Path
) -> None:
    listener = KillOnce("prune", worker_processes)
    with hired(project, tmp_path / "store", Workforce(2), listener) as builder:
        assert nodes_of(builder) == alone
    assert len(listener.killed) == 2
    assert listener.started.count("prune") == 2
    assert worker_processes() == []


def test_what_a_worker_raises_is_raised_here(project: Path, tmp_path: Path) -> None:
    wild = Profile(name="wild", tree=TREE, common={"learning_rate": 1e30, "epochs": 1})
    with hired(project, tmp_path / "store", Workforce(1), profile=wild) as builder:
        builder.build(ROOT)
        with pytest.raises(ModelError, match=r"training diverged.*; lower the learning rate"):
            builder.build("prune/ptq")


def test_a_worker_that_sees_other_data_says_so(project: Path, tmp_path: Path) -> None:
    model, data = str(project / "model.keras"), str(project / "data.npz")
    run = named_run(model, data, None, None, "none", None, False, tmp_path / "store")
    with pytest.raises(WorkerError, match="sees another model, other data or other libraries"):
        perform(NodeTask(run, Terms(PROFILE, {}, False, FULL), "ptq", "key of other data"), silent)


def test_a_model_in_memory_is_refused_at_once(tmp_path: Path) -> None:
    import armopt

    with pytest.raises(UsageError, match="workers can't see a model in memory"):
        armopt.deploy(object(), "digits", workers=2)
    with pytest.raises(UsageError, match="workers can't see data in memory"):
        armopt.deploy("model.keras", (np.zeros(1), np.zeros(1)), workers=2)


@pytest.mark.slow
def test_workers_of_a_dask_cluster_make_the_same_nodes_though_one_is_killed(
    project: Path, alone: Nodes, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(host="127.0.0.1", local_directory=str(tmp_path), **options) as cluster:

        def one_worker() -> list[int]:
            return [next(iter(cluster.workers.values())).pid]

        listener = KillOnce("prune", one_worker)
        with hired(project, tmp_path / "store", Workforce(cluster=cluster.scheduler_address), listener) as builder:
            assert nodes_of(builder) == alone
    assert listener.killed


@pytest.mark.slow
def test_a_run_that_ends_takes_its_tasks_back_from_the_cluster(project: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    trains = threading.Event()
    long = Profile(name="long", tree=TREE, common={"epochs": 10_000})
    with (
        distributed.LocalCluster(1, threads_per_worker=1, host="127.0.0.1", local_directory=str(tmp_path)) as cluster,
        distributed.Client(cluster) as client,
    ):
        workforce = Workforce(cluster=cluster.scheduler_address)

        def tell(event: Event) -> None:
            if isinstance(event, TrainingStep):
                trains.set()

        with hired(project, tmp_path / "store", workforce, tell, long) as builder:
            builder.build(ROOT)
            builder.expect(["prune/ptq"])
            assert trains.wait(100)
        deadline = time.monotonic() + 20
        while (busy := _busy_threads(client)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert busy == 0


def _busy_threads(client: Any) -> int:
    return sum(client.run(lambda dask_worker: len(dask_worker.active_threads)).values())


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("armopt.workers.cluster._CONNECT_S", 1.0)
    run = named_run("model.keras", "digits", None, None, "none", None, False, tmp_path)
    with (
        pytest.raises(WorkerError, match="no Dask scheduler answers at 'tcp:"),
        crew_for(Workforce(cluster="tcp://127.0.0.1:1"), run, silent),
    ):
        pass


# The command line, with the built-in model and the emulator.

TOML = """
name = "small"
tree = ["ptq", "prune", "prune/ptq", "cluster", "cluster/ptq"]
[common]
epochs = 1
min_steps = 0
"""


def _deploy(folder: Path, *more: str) -> list[str]:
    (folder / "small.toml").write_text(TOML)
    return [sys.executable, "-m", "armopt", "deploy", "--data", "digits", "--device", "pi4", "--emulate",
            "--profile", str(folder / "small.toml"), "--until", "best", "--no-plots", "--out", str(folder / "out"),
            *more]  # fmt: skip


def _environment(folder: Path) -> dict[str, str]:
    """An empty store beside the emulator and the built-in model of the user's cache."""
    from armopt.catalog.search_path import cache_dir
    from armopt.compress.digits import digits_model_file

    digits_model_file(cache_dir())
    cache = folder / "cache"
    cache.mkdir(parents=True)
    for item in cache_dir().iterdir():
        if item.name != "store":
            (cache / item.name).symlink_to(item)
    return {**os.environ, "ARMOPT_CACHE_DIR": str(cache)}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_deploy_says_the_same_whether_one_or_two_workers_built_it(tmp_path: Path) -> None:
    told = []
    for count in ("1", "2"):
        folder = tmp_path / count
        folder.mkdir()
        done = subprocess.run(
            _deploy(folder, "--workers", count, "--json"), env=_environment(folder), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout)["nodes"])
    for node in (*told[0], *told[1]):
        del node["seconds"], node["artifact"]
    assert told[0] == told[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sent, code", [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_run_that_is_stopped_leaves_no_worker_behind(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        _deploy(tmp_path, "--workers", "2", "--epochs", "50"),
        env=_environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("prune: prune"):
            break
    workers = children(process.pid)
    assert len(workers) == 2
    below = [child for worker in workers for child in children(worker)]
    process.send_signal(sent)
    process.communicate(timeout=30)
    assert process.returncode == code
    deadline = time.monotonic() + 10
    while (
        left := [pid for pid in (*workers, *below) if Path(f"/proc/{pid}").exists()]
    ) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []

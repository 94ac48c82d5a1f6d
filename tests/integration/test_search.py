"""A real search on an emulated board: what it finds, and that it finds the same however it gets there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import armopt
from armopt.core.events import Event, Listener, NodeStarted, SearchProgress, TrainingStep
from armopt.core.records import Result
from armopt.core.search_record import Effort, SearchRecord
from armopt.core.target import Target

pytestmark = pytest.mark.timeout(600)

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "result.schema.json"
PROFILE = """
name = "small"
tree = ["ptq", "prune", "prune/ptq", "cluster", "cluster/ptq"]
speed_tree = ["channels", "channels/ptq"]
[common]
epochs = 1
min_steps = 20
batch_size = 32
clusters = 8
"""


def cache_beside(folder: Path) -> Path:
    """An empty store that shares the emulator's files, which take a while to fetch, with the user's cache."""
    from armopt.catalog.search_path import cache_dir

    own = folder / "cache"
    own.mkdir(parents=True)
    for item in cache_dir().iterdir():
        if item.name != "store":
            (own / item.name).symlink_to(item.resolve())
    return own


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that has learnt a little, its data and a profile that trains for moments."""
    from armopt.compress.backend import keras

    folder = tmp_path_factory.mktemp("project")
    random = np.random.default_rng(1)
    y = random.integers(0, 3, 640)
    x = random.normal(size=(640, 12, 12, 1)).astype(np.float32)
    x += random.normal(size=(3, 12, 12, 1)).astype(np.float32)[y]
    layers = keras.layers
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Conv2D(32, 3, activation="relu", name="first"),
            layers.Conv2D(32, 3, activation="relu", name="second"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="logits"),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    model.fit(x[:512], y[:512], epochs=4, verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x_train=x[:512], y_train=y[:512], x_test=x[512:], y_test=y[512:])
    (folder / "small.toml").write_text(PROFILE)
    return folder


Deploy = Callable[..., Result]


@pytest.fixture(scope="module")
def deploy(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """`armopt.deploy` of that model, with a store that the tests here share."""

    def run(target: Target, listener: Listener, **more: Any) -> Result:
        given = {"profile": str(project / "small.toml"), "out": str(project / "out"), "emulate": True, **more}
        model, data = str(project / "model.keras"), str(project / "data.npz")
        return armopt.deploy(model, data, device="pi4", target=target, listener=listener, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARMOPT_CACHE_DIR", str(cache_beside(tmp_path_factory.mktemp("shared"))))
        yield run


@pytest.fixture(scope="module")
def limit(deploy: Deploy) -> Target:
    """A latency that the model as given misses, and that half of it meets."""
    whole = deploy(Target(), lambda event: None, plots=False)
    assert whole.chosen == "ptq"
    [ptq] = [node for node in whole.nodes if node.path == "ptq"]
    assert ptq.interval_ms is not None
    return Target(max_latency_ms=round(0.6 * ptq.interval_ms[1], 4))


def told(record: SearchRecord | None) -> dict[str, Any]:
    """What a search found, without the machine's speed."""
    assert record is not None
    document = record.model_dump()
    del document["seconds"]
    for trial in document["trials"]:
        del trial["seconds"]
    return document


def check_alike(found: dict[str, Any], other: dict[str, Any]) -> None:
    """The same, with instructions that were counted twice: they repeat to a few dozen, latencies accordingly."""
    for trial, twin in zip(found["trials"], other["trials"], strict=True):
        for figure in ("instructions", "latency_ms", "interval_ms"):
            one, two = trial.pop(figure), twin.pop(figure)
            assert one == two or one == pytest.approx(two, rel=1e-2)
    assert found == other


@pytest.fixture(scope="module")
def searched(deploy: Deploy, limit: Target) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    return deploy(limit, events.append, search=Effort(trials=4)), events


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_under_a_latency_limit_ends_met_by_what_it_found(
    searched: tuple[Result, list[Event]], limit: Target, project: Path
) -> None:
    result, events = searched
    record = result.search
    assert (result.verdict, record is not None) == ("met", True), result.reason
    assert record is not None and limit.max_latency_ms is not None
    parts = [trial for trial in record.trials if trial.on_the_way_of is not None]
    assert parts and len(record.trials) - len(parts) == 4
    assert {trial.state for trial in record.trials} <= {"finished", "stopped", "infeasible"}
    finished = [trial for trial in record.trials if trial.state == "finished"]
    assert finished and all(one.interval_ms and one.interval_ms[1] <= limit.max_latency_ms for one in finished)
    assert {one.kind for one in record.sensitivities} == {"channels", "prune", "cluster"}
    winner = next(trial for trial in record.trials if trial.number == record.winner)
    assert (winner.number in record.pareto, winner.path) == (True, result.chosen)
    [trained] = [node for node in result.nodes if node.path.endswith("qat")]
    assert trained.path == winner.path or trained.status == "skipped", "QAT is there for a winner that misses without"
    counted = [event for event in events if isinstance(event, SearchProgress)]
    assert sorted({(event.done, event.trials) for event in counted}) == [(done, 4) for done in range(5)]
    assert {"000-search.png", "000-search.svg"} <= {file.name for file in (project / "out" / "plots").iterdir()}
    document = json.loads((project / "out" / "result.json").read_text(), parse_constant=pytest.fail)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert Result.model_validate(document) == result


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_search_again_is_answered_from_the_store(
    searched: tuple[Result, list[Event]], deploy: Deploy, limit: Target
) -> None:
    events: list[Event] = []
    again = deploy(limit, events.append, search=Effort(trials=4), plots=False)
    assert told(again.search) == told(searched[0].search)
    assert not any(isinstance(event, TrainingStep) for event in events)
    assert not any(isinstance(event, NodeStarted) for event in events)


def test_a_search_that_no_width_can_serve_ends_at_once_and_says_why(deploy: Deploy, limit: Target) -> None:
    events: list[Event] = []
    result = deploy(Target(max_latency_ms=1e-3), events.append, search=Effort(trials=4), plots=False)
    assert (result.verdict, [node.path for node in result.nodes]) == ("missed", ["float", "ptq"])
    assert result.search is not None and result.search.trials == ()
    assert any("even with the fewest channels" in str(event) for event in events)
    assert not any(isinstance(event, TrainingStep) for event in events)


def test_channels_meet_a_latency_and_without_them_it_is_missed_with_nothing_trained(
    deploy: Deploy, limit: Target
) -> None:
    from armopt.catalog.profiles import find_profile

    profile = find_profile("default").model_copy(update={"common": {"epochs": 1, "min_steps": 20, "batch_size": 32}})
    events: list[Event] = []
    met = deploy(limit, events.append, profile=profile, plots=False)
    assert (met.verdict, met.chosen) == ("met", "channels/ptq"), met.reason
    assert {event.path for event in events if isinstance(event, TrainingStep)} == {"channels"}
    events.clear()
    missed = deploy(limit, events.append, profile=profile.model_copy(update={"speed_tree": ()}), plots=False)
    assert (missed.verdict, missed.chosen) == ("missed", None)
    assert not any(isinstance(event, TrainingStep) for event in events)
    assert {node.status for node in missed.nodes} == {"built", "missed", "skipped"}


# The command line, in processes that can be killed.


def command(project: Path, limit: Target, *more: str) -> list[str]:
    assert limit.max_latency_ms is not None
    return [sys.executable, "-m", "armopt", "deploy", "model.keras", "--data", "data.npz", "--device", "pi4",
            "--emulate", "--profile", "small.toml", "--max-latency", f"{limit.max_latency_ms}ms", "--search",
            "--trials", "6", "--no-plots", "--json", *more]  # fmt: skip


def begun(project: Path, folder: Path, limit: Target, *more: str) -> subprocess.Popen[str]:
    # Equal hashes in all processes would hide what depends on them.
    environment = {**os.environ, "ARMOPT_CACHE_DIR": str(folder / "cache"), "PYTHONHASHSEED": "random"}
    return subprocess.Popen(
        command(project, limit, "--out", str(folder / "out"), *more), cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=500)
    assert process.returncode == 0, stderr
    return told(Result.model_validate_json(stdout).search)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_search_that_was_killed_twice_ends_with_the_trials_of_one_that_was_not(
    project: Path, limit: Target, tmp_path: Path
) -> None:
    for name in ("whole", "killed"):
        cache_beside(tmp_path / name)
    whole = finished(begun(project, tmp_path / "whole", limit))
    for stage in ("trained to the end", "untrained"):
        process = begun(project, tmp_path / "killed", limit)
        assert process.stderr is not None
        assert any(line.startswith("search: ") and stage in line for line in process.stderr)
        time.sleep(3)  # into the work
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
    check_alike(finished(begun(project, tmp_path / "killed", limit)), whole)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_workers_find_what_one_finds(project: Path, limit: Target, tmp_path: Path) -> None:
    found = []
    for count in ("1", "2"):
        cache_beside(tmp_path / count)
        found.append(finished(begun(project, tmp_path / count, limit, "--workers", count)))
    check_alike(*found)

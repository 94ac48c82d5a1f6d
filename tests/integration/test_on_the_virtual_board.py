"""Everything a user does with a board, on a real aarch64 Linux behind a real sshd that nothing but SSH can reach."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from virtual_board import HOME, Board

from armopt.runners.ssh.connection import Connection

pytestmark = pytest.mark.timeout(900)
ARMOPT = [sys.executable, "-m", "armopt"]

PROFILE = """
name = "quick"
tree = ["ptq"]
"""


def armopt(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command line as a user does."""
    done = subprocess.run([*ARMOPT, *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stderr
    return done


def document(*arguments: str | Path, code: int = 0) -> Any:
    return json.loads(armopt(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, its data, and a profile of one leaf."""
    from armopt.compress.backend import keras

    folder = tmp_path_factory.mktemp("project")
    random = np.random.default_rng(1)
    x = random.normal(size=(256, 8, 8, 1)).astype(np.float32)
    y = (x.mean((1, 2, 3)) > 0).astype(np.int64)
    layers = keras.layers
    keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
    ).save(folder / "my model.keras")
    np.savez(folder / "data.npz", x_train=x[:192], y_train=y[:192], x_test=x[192:], y_test=y[192:])
    (folder / "quick.toml").write_text(PROFILE)
    np.save(folder / "input.npy", x[192:193])
    return folder


@pytest.fixture(scope="module")
def prepared(virtual_board: Board) -> Iterator[Board]:
    """The board after `hosts prepare`; it has no way to the internet, and nothing of ours before."""
    assert virtual_board.run_as_root(["test", "-e", f"{HOME}/.armopt"], check=False).returncode != 0
    before = document("doctor", "--host", "virtual", code=1)
    assert any("hosts prepare virtual" in finding["mend"] for finding in before["findings"]), before
    told = document("hosts", "prepare", "virtual")
    assert told["runtime"].startswith("litert-2.1.6-python3.11")
    assert virtual_board.run_as_root(["stat", "-c", "%a %U", f"{HOME}/.armopt"]).stdout == b"700 armopt\n"
    yield virtual_board
    virtual_board.empty_home()


def deployed(project: Path, out: Path, *more: str) -> Any:
    command = ["deploy", project / "my model.keras", "--data", project / "data.npz", "--host", "virtual", "--no-plots"]
    return document(*command, "--profile", project / "quick.toml", "--out", out, *more)


def test_it_is_registered_trusted_and_healthy(prepared: Board) -> None:
    [host] = document("hosts", "list")["hosts"]
    assert (host["name"], host["device"]) == ("virtual", "virtual")
    assert "already" in armopt("hosts", "trust", "virtual", "--yes").stderr
    assert document("doctor", "--host", "virtual")["findings"] == []
    assert "sending" not in armopt("hosts", "prepare", "virtual", "--offline").stderr


def test_a_deployed_model_runs_there_and_goes_back(prepared: Board, project: Path, tmp_path: Path) -> None:
    found = deployed(project, tmp_path / "out", "--max-drop", "0.5")
    assert (found["hosts"], found["runner"], found["evidence"], found["verdict"]) == (
        ["virtual"],
        "ssh",
        "functional",
        "met",
    )
    [chosen] = [node for node in found["nodes"] if node["path"] == found["chosen"]]
    assert chosen["latency_ms"] is None
    assert chosen["accuracy"]["device"] == chosen["accuracy"]["int8"]

    model = tmp_path / "out/model.tflite"
    measured = document("measure", model, "--host", "virtual", "--data", project / "data.npz")
    assert measured["outputs_equal"] and measured["outputs_compared"] == 4
    score = {"metric": "accuracy", "higher_is_better": True, "samples": 64}
    assert measured["score"] == {**score, "value": chosen["accuracy"]["int8"]}
    assert measured["latency_ms"] is None and measured["evidence"] == "functional"

    current = prepared.run_as_root(["sh", "-c", f"echo {HOME}/.armopt/models/*/current"]).stdout.decode().strip()
    prepared.run_as_root(["sh", "-c", "cat >/tmp/input.npy"], stdin=(project / "input.npy").read_bytes())
    with Connection(prepared.host, say=print) as connection:
        on_board = connection.run([f"{current}/run", "/tmp/input.npy"]).stdout.decode()
    script = [sys.executable, tmp_path / "out/run_model.py", project / "input.npy"]
    on_host = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert on_board == on_host

    deployed(project, tmp_path / "again", "--max-drop", "0.5", "--float-io")
    assert prepared.run_as_root(["readlink", current]).stdout == b"2\n"
    command = ["deploy", project / "my model.keras", "--host", "virtual", "--rollback"]
    assert document(*command)[0]["version"] == 1
    assert prepared.run_as_root(["readlink", current]).stdout == b"1\n"
    assert "no version before" in armopt(*command, code=4).stderr

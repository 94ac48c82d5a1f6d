from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from armopt.core.errors import UsageError
from armopt.workers.hire import named_run
from armopt.workers.workforce import Workforce


def test_workers_are_here_or_on_a_cluster() -> None:
    with pytest.raises(UsageError, match="give --workers or --cluster"):
        Workforce(2, cluster="tcp://127.0.0.1:8786")


def test_threads_without_workers_are_not_ignored_in_silence() -> None:
    with pytest.raises(UsageError, match="add --workers"):
        Workforce(threads=2)


@pytest.mark.parametrize("count, threads", [(-1, 1), (2, 0)])
def test_fewer_than_one_is_refused(count: int, threads: int) -> None:
    with pytest.raises(UsageError, match="give 1 or more"):
        Workforce(count, threads)


def test_a_cluster_without_dask_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install armopt\[cluster\]"):
        Workforce(cluster="tcp://127.0.0.1:8786")


def test_a_run_is_named_by_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.keras", "data.npz"):
        Path(name).touch()
    run = named_run("model.keras", Path("data.npz"), "mse", None, "unit", "layers", False, Path("store"))
    assert (run.model, run.data) == (str(tmp_path / "model.keras"), str(tmp_path / "data.npz"))
    assert run.store == str(tmp_path / "store")
    assert (run.loss, run.preprocess, run.custom_objects) == ("mse", "unit", "layers")


def test_names_that_are_no_paths_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    run = named_run(None, "digits", None, None, "none", None, False, tmp_path)
    assert (run.model, run.data) == (None, "digits")
    assert named_run(None, "mine:load", None, None, "none", None, False, tmp_path).data == "mine:load"

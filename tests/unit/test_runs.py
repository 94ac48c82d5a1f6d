from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import page_runs
from armopt.cli.main import run as armopt
from armopt.core.records import Result
from armopt.reporting import find_runs, latest_run


def keep(folder: Path, result: Result) -> Path:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(result.model_dump_json(by_alias=True))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs of different ages below the current folder, and what is no run."""
    made = tmp_path / "armopt-out"
    keep(made / "old", page_runs.run(finished="2025-01-01T00:00:00+00:00"))
    keep(made / "new", page_runs.run(finished="2026-01-01T00:00:00+02:00", model=page_runs.HOSTILE, device="pi5"))
    keep(made / "missed", page_runs.run(finished="2025-06-01T00:00:00", verdict="missed", chosen=None))
    (made / "broken").mkdir()
    (made / "broken" / "result.json").write_text("{")
    (made / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, object]]:
    assert armopt(["runs", "--json", *more]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["runs"]
    return found


def test_runs_are_listed_newest_first(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert [Path(str(one["path"])).name for one in found] == ["new", "missed", "old"]
    assert found[0]["finished"] == "2025-12-31T22:00:00+00:00" and found[0]["device"] == "pi5"
    result = page_runs.run()
    chosen = next(node for node in result.nodes if node.path == result.chosen)
    assert found[2]["accuracy"] == chosen.accuracy.int8 and found[2]["gz_bytes"] == chosen.gz_bytes
    assert found[1]["chosen"] is None and found[1]["accuracy"] is None and found[1]["verdict"] == "missed"


def test_what_can_not_be_read_is_told_and_left_out(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert armopt(["runs"]) == 0
    told = capsys.readouterr()
    assert "left out: 'armopt-out/broken/result.json' is not a result" in told.err
    assert "prune/cluster/ptq" in told.out and "64.8 kB" in told.out and "missed" in told.out
    assert "\u202e" not in told.out


def test_a_runs_own_folder_and_one_of_runs_are_found_and_none_twice(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(listed(capsys, "armopt-out/old")) == 1
    assert len(listed(capsys, "armopt-out", ".", "armopt-out/old")) == 3


def test_no_runs_are_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, str(tmp_path)) == []
    assert armopt(["runs", str(tmp_path)]) == 0
    assert "armopt deploy makes one" in capsys.readouterr().err
    assert armopt(["runs", str(tmp_path / "none")]) == 2


def test_results_without_a_date_go_by_their_files(tmp_path: Path) -> None:
    for name, age in (("a", 100), ("b", 50), ("c", 200)):
        file = keep(tmp_path / name, page_runs.run(finished=None)) / "result.json"
        os.utime(file, (1_700_000_000 - age, 1_700_000_000 - age))
    assert [run.folder.name for run in find_runs([tmp_path], print)] == ["b", "a", "c"]
    assert latest_run(tmp_path, print).folder.name == "b"


def test_report_takes_the_latest_run_and_prints_where_the_page_is(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert armopt(["report"]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page.samefile("armopt-out/new/report.html")
    assert "on an emulated pi5" in page.read_text()


def test_report_of_several_runs_lies_in_the_current_folder(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert armopt(["report", "armopt-out/old", "armopt-out/missed/result.json"]) == 0
    assert capsys.readouterr().out.strip() == "armopt-report.html"
    assert "2 runs side by side" in Path("armopt-report.html").read_text()


def test_runs_of_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(keep(tmp_path / name / "same", page_runs.run())) for name in ("a", "b")]
    assert armopt(["report", *folders, "-o", str(tmp_path / "page.html"), "--title", "Both <b>"]) == 0
    page = (tmp_path / "page.html").read_text()
    assert ">a/same<" in page and ">b/same<" in page and "<h1>Both &lt;b&gt;</h1>" in page


def test_report_without_a_run_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert armopt(["report"]) == 2
    assert "no run lies below" in capsys.readouterr().err
    assert armopt(["report", "nowhere"]) == 2
    assert "no result at 'nowhere'" in capsys.readouterr().err


def test_operators_of_a_run_whose_model_is_gone_are_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = keep(runs / "bare", page_runs.run(measurements={}))
    assert armopt(["report", str(bare), "--operators"]) == 2
    assert "has no model.tflite to tell operators of" in capsys.readouterr().err

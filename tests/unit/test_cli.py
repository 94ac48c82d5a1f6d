from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from search_results import many

from armopt import __version__
from armopt.cli.main import COMMANDS, run
from armopt.core import errors
from armopt.core.records import Result
from armopt.core.search_record import Effort

DIGITS = ["deploy", "--data", "digits", "--device", "pi4"]
Deploy = Callable[..., Result]


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, result: Result) -> dict[str, Any]:
    """Puts a finished run in place of the flow, and collects what it was called with."""
    seen: dict[str, Any] = {"result": result}

    def deploy(**arguments: Any) -> Result:
        seen["arguments"] = arguments
        if isinstance(seen["result"], BaseException):
            raise seen["result"]
        print("a library's chatter")
        return seen["result"]

    monkeypatch.setattr("armopt.flow.deploy", deploy)
    return seen


@pytest.mark.parametrize(
    ("verdict", "code"), [("met", 0), (None, 0), ("missed", 1), ("inconclusive", 3), ("unstable", 3)]
)
def test_the_verdict_is_the_exit_code(deployed: dict[str, Any], verdict: str | None, code: int) -> None:
    deployed["result"] = deployed["result"].model_copy(update={"verdict": verdict})
    assert run([*DIGITS, "--quiet"]) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("wrong input", "mend it"), 2),
        (errors.ModelError("no model"), 2),
        (errors.DataError("no data"), 2),
        (errors.DeviceError("no board"), 4),
        (errors.StoreError("no disk"), 4),
        (errors.ConversionError("no file"), 4),
        (errors.StructureLost("no zeros"), 4),
    ],
)
def test_an_error_is_one_line_and_its_own_exit_code(
    deployed: dict[str, Any], capsys: pytest.CaptureFixture[str], error: errors.ArmoptError, code: int
) -> None:
    deployed["result"] = error
    assert run([*DIGITS, "--quiet"]) == code
    assert capsys.readouterr().err == f"armopt: {error}\n"


def test_on_boards_a_baseline_is_compared_with_as_many_rounds_as_it_takes(
    deployed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    on_board = json.loads((Path(__file__).parent / "data/measurement-0.1.0.json").read_text())
    on_board["evidence"] = "measured"
    (tmp_path / "baseline.json").write_text(json.dumps(on_board))
    command = ["deploy", "--data", "digits", "--quiet", "--host", "mypi"]
    run(["hosts", "add", "mypi", "--device", "pi4", "--ssh", "pi@127.0.0.1:1"])
    seen = []
    for further in ([], ["--rounds", "7"], ["--baseline", str(tmp_path / "baseline.json")]):
        run([*command, *further])
        seen.append(deployed["arguments"]["rounds"])
    assert seen == [0, 7, 30]


def test_rounds_are_refused_where_there_is_no_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*DIGITS, "--emulate", "--rounds", "7", "--quiet"]) == 2
    assert "rounds are timed on boards, and pi4 is none here" in capsys.readouterr().err


def test_an_interrupted_run_says_that_it_can_go_on(
    deployed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    deployed["result"] = KeyboardInterrupt()
    assert run([*DIGITS, "--quiet"]) == 130
    assert capsys.readouterr().err == "armopt: interrupted; the same command continues\n"


def test_a_bug_keeps_its_traceback_and_never_reads_as_a_verdict(
    deployed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    deployed["result"] = ZeroDivisionError("oops")
    assert run([*DIGITS, "--quiet"]) == 4
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_json_is_one_document_on_stdout_and_nothing_else(
    deployed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*DIGITS, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["chosen"] == "prune/cluster/ptq"
    assert "a library's chatter" in said.err


def test_quiet_says_the_verdict_only(deployed: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*DIGITS, "--quiet"]) == 0
    said = capsys.readouterr()
    assert "TARGET MET" in said.out
    assert "latency p50" not in said.out
    assert "loading" not in said.err


def test_options_reach_the_flow(deployed: dict[str, Any]) -> None:
    options = "--max-latency 20ms@p95 --max-size 20kB --max-drop 1% --sparsity 0.8 --epochs 3 --until best --emulate"
    assert run([*DIGITS, *options.split()]) == 0
    arguments = deployed["arguments"]
    assert arguments["target"].model_dump(exclude_defaults=True) == {
        "max_latency_ms": 20.0,
        "percentile": "p95",
        "max_gz_bytes": 20_000,
        "max_drop": 0.01,
    }
    assert arguments["overrides"] == {"sparsity": 0.8, "epochs": 3, "min_steps": 0}
    assert (arguments["until"], arguments["emulate"], arguments["model"]) == ("best", True, None)


def test_a_search_reaches_the_flow_with_its_bounds(deployed: dict[str, Any]) -> None:
    cases = {
        "": None,
        "--search": Effort(),
        "--search --trials 8": Effort(trials=8),
        "--search --budget 1.5h": Effort(budget_s=5400.0),
        "--search --trials 8 --budget 90s": Effort(trials=8, budget_s=90.0),
    }
    for options, effort in cases.items():
        assert run([*DIGITS, *options.split()]) == 0
        assert deployed["arguments"]["search"] == effort
        assert {"trials", "budget"}.isdisjoint(deployed["arguments"])


def test_what_a_search_found_is_shown_between_the_table_and_the_verdict(
    deployed: dict[str, Any], capsys: pytest.CaptureFixture[str], result: Result
) -> None:
    deployed["result"] = result.model_copy(update={"search": many().search})
    assert run(DIGITS) == 0
    said = capsys.readouterr().out
    assert said.index("latency p50") < said.index("search: 24 trials") < said.index("TARGET MET")
    assert run([*DIGITS, "--quiet"]) == 0
    assert "search:" not in capsys.readouterr().out
    assert run([*DIGITS, "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert len(document["search"]["trials"]) == 24


def test_a_project_file_gives_what_the_command_line_leaves_out(
    deployed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "armopt.toml").write_text(
        'model = "m.keras"\ndata = "d.npz"\ndevice = "pi5"\n'
        '[target]\nmax_size = "90kB"\nmax_drop = 0.5\n[overrides]\nclusters = 8\nseed = 4\n'
    )
    monkeypatch.chdir(tmp_path)
    assert run(["deploy", "--max-drop", "0.1", "--seed", "7"]) == 0
    arguments = deployed["arguments"]
    assert (arguments["model"], arguments["data"], arguments["device"]) == ("m.keras", "d.npz", "pi5")
    assert (arguments["target"].max_gz_bytes, arguments["target"].max_drop) == (90_000, 0.1)
    assert arguments["overrides"] == {"clusters": 8, "seed": 7}


def test_the_built_in_demonstration_ignores_a_project_file(
    deployed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "armopt.toml").write_text('model = "m.keras"\n[target]\nmax_size = "1kB"\n')
    monkeypatch.chdir(tmp_path)
    assert run(DIGITS) == 0
    assert (deployed["arguments"]["model"], deployed["arguments"]["target"].is_empty) == (None, True)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("depoy", "no command 'depoy', did you mean deploy?"),
        ("deploy", "no device given"),
        ("deploy --device pi4", "no model and no data given"),
        ("deploy --data digits --device pi44", "did you mean pi4?"),
        ("deploy --data digits --device pi4 --profile nothing", "unknown profile 'nothing'"),
        ("deploy --data digits --device pi4 --sparsity 1.5", "--sparsity 1.5: input should be less than 1"),
        ("deploy --data digits --device pi4 --clusters 1", "--clusters 1: input should be greater than or equal to 2"),
        ("deploy --data digits --device pi4 --max-latency 20", "--max-latency: '20' is not a latency"),
        ("deploy --data digits --device pi4 --max-drop -1", "--max-drop: input should be greater than or equal to 0"),
        ("deploy --data digits --device pi4 --max-size big", "--max-size: 'big' is not a size"),
        ("deploy --data digits --device pi4 --trials 4", "--trials bounds a search; add --search"),
        ("deploy --data digits --device pi4 --budget 30m", "--budget bounds a search; add --search"),
        ("deploy --data digits --device pi4 --search --budget 0m", "--budget: '0m' is not a duration"),
        ("deploy --data digits --device pi4 --search --budget 30", "--budget: '30' is not a duration"),
        ("deploy --data digits --device pi4 --search --budget soon", "--budget: 'soon' is not a duration"),
        ("deploy --data digits --device pi4 --search --trials 0", "Invalid value for '--trials'"),
        ("deploy --data digits --device pi4 --quiet --search --leaves 16x8", "a search tries INT8 leaves only"),
        ("deploy --until never", "'never' is not one of 'first', 'best'"),
        ("deploy --nonsense", "No such option"),
        ("tree --device nothing", "unknown device 'nothing'"),
        ("measure x.tflite", "no device given"),
        ("measure x.tflite --device virtual", "name it: --host virtual"),
        ("measure x.tflite --host pi", "unknown host 'pi'"),
        ("measure x.tflite --device pi4 --host pi --emulate", "--host and --emulate exclude each other"),
        ("measure x.tflite --device pi4 --emulate --sustain 10m", "--sustain is for boards"),
        ("measure x.tflite --device pi4 --pin first", "'first' is not a processor's number"),
        ("deploy --data digits --device pi4 --rollback", "--rollback needs boards"),
        ("store gc --max-size much", "'much' is not a size"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(line.split()) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert said.err.startswith("armopt: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run([name, "--help"]) == 0
    assert f"Usage: armopt {name}" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_devices_and_tree_print_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "--json"]) == 0
    assert "pi4" in [kind["name"] for kind in json.loads(capsys.readouterr().out)]
    assert run(["tree", "--json"]) == 0
    nodes = {node["path"]: node for node in json.loads(capsys.readouterr().out)["nodes"]}
    joining = {path for path, node in nodes.items() if node["under_speed_limit"]}
    assert (len(nodes) - len(joining), nodes["prune"]["helps"]) == (11, ["size"])
    assert {path.split("/")[0] for path in joining} == {"channels"} and "latency" in nodes["channels"]["helps"]


def test_the_tree_says_what_a_technique_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tree"]) == 0
    shown = capsys.readouterr().out
    assert "zeros do not speed up dense INT8 kernels" in shown
    assert "channels/ptq *" in shown and "* joins where the target limits speed" in shown


def outside(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it: another process, in another folder."""
    command = [sys.executable, "-m", "armopt", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_help_takes_under_0_3_seconds_of_work(tmp_path: Path) -> None:
    def once() -> float:
        """Seconds of CPU: what else the machine has to do does not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert outside("--help", cwd=tmp_path).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(5)) < 0.3


def test_a_usage_error_ends_before_tensorflow_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from armopt.cli.main import run;"
        "print(run('deploy --data digits --device pi4 --sparsity 1.5'.split()), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.split() == ["2", "False"]


@pytest.mark.parametrize("what", ["--profile bad.toml", "--leaves int4"])
def test_a_tree_that_makes_no_sense_is_refused_before_tensorflow_is_imported(tmp_path: Path, what: str) -> None:
    (tmp_path / "bad.toml").write_text('name = "bad"\ntree = ["ptq", "distil"]\n')
    code = (
        "import sys; from armopt.cli.main import run\n"
        f"print(run('deploy --data digits --device pi4 {what}'.split()), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
    assert ("'distil'" if "bad" in what else "'int4'") in done.stderr and done.stderr.count("\n") == 1


def test_further_leaves_reach_the_flow(deployed: dict[str, Any]) -> None:
    assert run([*DIGITS, "--leaves", "16x8, float16"]) == 0
    assert deployed["arguments"]["leaves"] == ("16x8", "float16")
    assert run(DIGITS) == 0
    assert deployed["arguments"]["leaves"] == ()


def test_help_imports_no_command_and_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from armopt.cli.main import run; run(['--help']);"
        "print([m for m in ('tensorflow', 'pydantic', 'rich', 'numpy', 'armopt.cli.deploy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves_early_is_no_verdict(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "armopt", "devices", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from armopt.cli.gate_options import Gate, exit_code
from armopt.cli.main import run
from armopt.comparing import read_subject, subject_of_result
from armopt.core.errors import StoreError, UsageError
from armopt.core.npu import NpuEstimate, NpuLayer
from armopt.core.records import Latency, Measurement, OperatorTime, Result, Score
from armopt.core.subject import operators_of, setting_of
from armopt.core.told_checks import checks_of, deciding_node
from armopt.delivery import read_result

DATA = Path(__file__).parent / "data"
FIRST, FIRST_MEASURED = DATA / "result-0.1.0.json", DATA / "measurement-0.1.0.json"


def operator(index: int | None, kind: str, instructions: int) -> OperatorTime:
    return OperatorTime(
        index=index, kind=kind, name=f"net/{kind.lower()}_{index}", shape=(1, 8, 8, 16), macs=1000, latency_ms=1.0,
        share=0.5, core_ms=1.0, cache_ms=0, memory_ms=0, overhead_ms=0, instructions=instructions, bound="multiply",
    )  # fmt: skip


def measured(**more: Any) -> Measurement:
    known: dict[str, Any] = {
        "device": "pi4", "runner": "qemu", "evidence": "modelled", "runtime": "litert 2.1.6", "threads": 1,
        "freq_mhz": 1800, "latency_ms": Latency(p50=1.3), "interval_ms": (1.2, 1.4), "instructions": 3_044_107,
        "environment": {"kernels": "xnnpack"}, "seconds": 1.0,
    }  # fmt: skip
    return Measurement(**{**known, **more})


def written(folder: Path, name: str, **changed: Any) -> Path:
    """The first release's measurement, with some keys changed or added."""
    document = json.loads(FIRST_MEASURED.read_text())
    (folder / name).write_text(json.dumps({**document, **changed}))
    return folder / name


def test_results_of_the_first_release_are_read_and_were_valid_by_its_schema() -> None:
    schema = json.loads((DATA / "result-0.1.0.schema.json").read_text())
    jsonschema.validate(json.loads(FIRST.read_text()), schema)
    result = read_result(FIRST)
    assert (result.chosen, result.verdict, result.schema_version) == ("prune/ptq", "met", 1)
    assert result.nodes[1].instructions == 3_044_107 and result.measurements == {} and result.comparison is None


def test_a_result_of_the_first_release_is_a_baseline() -> None:
    subject = read_subject(FIRST)
    assert (subject.model, subject.gz_bytes, subject.instructions) == ("digits_ds_cnn: prune/ptq", 83_875, 3_044_107)
    assert subject.setting.threads is None and subject.setting.evidence == "modelled"
    assert read_subject(FIRST, "ptq").gz_bytes == 110_628
    assert read_subject(FIRST_MEASURED).setting.threads == 1


def test_a_folder_stands_for_its_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(FIRST.read_text())
    assert read_subject(tmp_path) == read_subject(FIRST)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no result at"),
        ("{", "is no JSON document"),
        ("[" * 100_000, "is no JSON document"),
        ('{"runner": "qemu", "seconds": NaN}', "is no JSON document"),
        ("[]", "is no result"),
        ("{}", "is not a result of armopt"),
        ('{"runner": "qemu"}', "is no measurement of armopt"),
    ],
)
def test_what_is_no_baseline_is_refused_in_one_line(tmp_path: Path, content: str | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "bad.json").write_text(content)
    with pytest.raises(UsageError) as refused:
        read_subject(tmp_path / "bad.json")
    assert complaint in str(refused.value) and refused.value.mend


def test_nodes_that_were_not_built_are_no_baseline() -> None:
    for node in ("qat", "nowhere", "prune"):
        with pytest.raises(UsageError, match="name one that was: ptq, prune/ptq"):
            read_subject(FIRST, node)
    nothing = read_result(FIRST).model_copy(update={"chosen": None})
    with pytest.raises(UsageError, match="chose no node"):
        subject_of_result(nothing)


def test_what_was_measured_in_full_is_taken_and_other_nodes_have_its_setting() -> None:
    found = measured(operators=(operator(0, "CONV_2D", 5000), operator(None, "runtime", 100)), threads=2)
    result = read_result(FIRST).model_copy(update={"measurements": {"prune/ptq": found}, "test_samples": 360})
    chosen, other = subject_of_result(result), subject_of_result(result, "ptq")
    assert chosen.operators is not None and [each.kind for each in chosen.operators] == ["CONV_2D", "runtime"]
    assert chosen.scored is not None and (chosen.scored.samples, chosen.scored.data) == (360, "digits")
    assert other.setting == chosen.setting == setting_of(found) and other.operators is None


def test_a_score_without_its_direction_is_not_compared(tmp_path: Path) -> None:
    score = Score(metric="auc", value=0.9, samples=100)
    for higher in (None, False):
        told = score.model_copy(update={"higher_is_better": higher}).model_dump()
        subject = read_subject(written(tmp_path, "scored.json", score=told))
        assert (subject.scored is None) == (higher is None)


def test_operators_of_an_npu_are_its_layers_by_cycles() -> None:
    npu = NpuEstimate(
        accelerator="ethos-u55-128", system_config="s", memory_mode="m", clock_mhz=500, encoded_weight_bytes=1,
        original_weight_bytes=1, cycles=1000, sram_bytes=2000, flash_bytes=None, fallback_ops=("SIN",), bound=None,
    )  # fmt: skip
    layer = NpuLayer(
        index=3, kind="CONV_2D", cycles=1000, share=1.0, mac_cycles=1, weight_cycles=1, scale_cycles=1,
        activation_cycles=1, macs=7, encoded_weight_bytes=1, bound="mac",
    )  # fmt: skip
    [one] = operators_of(measured(npu=npu, npu_layers=(layer,))) or ()
    assert (one.index, one.instructions, one.latency_ms, one.run_by) == (3, 1000, 0.002, "npu")


def test_the_limits_of_a_run_are_judged_one_by_one_from_its_result() -> None:
    result = read_result(FIRST)
    assert [(check.criterion, check.verdict) for check in checks_of(result)] == [("size", "met"), ("accuracy", "met")]
    missed = result.model_copy(update={"verdict": "missed", "chosen": None})
    node = deciding_node(missed)
    assert node is not None and node.path == "ptq"
    assert [check.verdict for check in checks_of(missed)] == ["missed", "met"]
    assert checks_of(result.model_copy(update={"nodes": (), "chosen": None, "verdict": "missed"})) == ()


def compare(*arguments: object) -> int:
    return run(["compare", *map(str, arguments)])


def test_compare_prints_what_got_slower_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [operator(0, "CONV_2D", 3_000_000).model_dump()]
    more = [*few, operator(1, "FULLY_CONNECTED", 800_000).model_dump()]
    before, after = (
        written(tmp_path, name, operators=operators, instructions=sum(each["instructions"] for each in operators))
        for name, operators in (("before.json", few), ("after.json", more))
    )
    assert compare(before, after) == 0
    text = capsys.readouterr().out
    assert "3,000,000" in text and "+26.7%" in text and "#1" in text and "new operator" in text
    assert "REGRESSED" not in text
    assert compare(before, after, "--max-regression", "1%") == 1
    assert "REGRESSED by more than 1%" in capsys.readouterr().out
    assert compare(before, after, "--max-regression", "30%") == 0
    assert compare(after, before, "--max-regression", "0") == 0
    capsys.readouterr()
    assert compare(before, after, "--json", "--max-regression", "0") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["operators"][0]["causes"] == ["new"] and told["verdict"] == "regressed"


def test_an_inconclusive_comparison_exits_with_3(tmp_path: Path) -> None:
    after = written(tmp_path, "after.json", interval_ms=None)
    assert compare(FIRST_MEASURED, after, "--max-regression", "1%") == 3
    assert compare(FIRST_MEASURED, after) == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"device": "pi5"}, "the baseline differs in device (pi4, not pi5); name that device"),
        ({"threads": 4}, "threads (1, not 4); give the same --threads to both"),
        ({"runtime": "litert 9"}, "runtime (litert 2.1.6, not litert 9)"),
        ({"evidence": "measured"}, "evidence (modelled, not measured)"),
    ],
)
def test_results_that_can_not_be_compared_exit_with_2_and_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], words: str
) -> None:
    assert compare(FIRST_MEASURED, written(tmp_path, "after.json", **changed)) == 2
    assert words in capsys.readouterr().err


def test_a_share_that_is_none_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(FIRST_MEASURED, FIRST_MEASURED, "--max-regression", "little") == 2
    assert "--max-regression: 'little' is not a number" in capsys.readouterr().err
    assert compare(FIRST_MEASURED, FIRST_MEASURED, "--max-regression=-1%") == 2
    assert "is below 0" in capsys.readouterr().err


def test_reports_are_written_whole_into_folders_that_are_made_or_not_at_all(tmp_path: Path) -> None:
    gate = Gate(None, 0.01, tmp_path / "new" / "junit.xml", tmp_path / "new" / "summary.md")
    gate.write(lambda: b"<x/>", lambda: "größe")
    assert (tmp_path / "new" / "junit.xml").read_bytes() == b"<x/>"
    assert (tmp_path / "new" / "summary.md").read_text(encoding="utf-8") == "größe"
    assert len(list((tmp_path / "new").iterdir())) == 2
    below_a_file = Gate(None, 0.01, tmp_path / "new" / "junit.xml" / "again.xml", None)
    with pytest.raises(StoreError, match="can't be written"):
        below_a_file.write(lambda: b"", lambda: "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--junit", "."], "'.' is a folder; name a file"),
        (["--baseline", "nowhere.json"], "no result at 'nowhere.json'"),
        (["--baseline", str(FIRST_MEASURED), "--max-regression", "some"], "--max-regression: 'some' is not a number"),
        (["--baseline", str(FIRST_MEASURED), "--baseline-node", "ptq"], "has no node 'ptq'"),
        (["--baseline-node", "ptq"], "--baseline-node speaks of a baseline"),
        (["--baseline", str(FIRST_MEASURED), "--freq", "1000"], "MHz (1800, not 1000)"),
    ],
)
def test_what_is_wrong_with_a_gate_is_told_before_anything_runs(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert run(["measure", "absent.tflite", "--device", "pi4", "--emulate", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_deployment_is_not_begun_with_a_baseline_of_another_device(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["deploy", "--data", "digits", "--emulate", "--baseline", str(FIRST)]
    assert run([*arguments, "--device", "pi5"]) == 2
    assert "device (pi4, not pi5)" in capsys.readouterr().err


def test_the_worse_of_target_and_comparison_is_the_exit_code() -> None:
    from armopt.core.comparison_record import Comparison

    def against(verdict: Any) -> Comparison:
        return Comparison(
            baseline="a", model="b", device="pi4", evidence="modelled", max_regression=0.01, verdict=verdict, reason="",
            changes=(),
        )  # fmt: skip

    codes = {
        (verdict, outcome): exit_code(verdict, against(outcome))  # type: ignore[arg-type]
        for verdict in (None, "met", "missed", "inconclusive", "unstable")
        for outcome in ("held", "regressed", "inconclusive")
    }
    assert {key for key, code in codes.items() if code == 1} == {
        key for key in codes if "missed" in key or "regressed" in key
    }
    assert {key for key, code in codes.items() if code == 0} == {(None, "held"), ("met", "held")}
    assert exit_code("met", None) == 0


def test_help_of_compare_loads_nothing_heavy() -> None:
    code = "import sys; from armopt.cli.main import run; run(['compare', '--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("scipy", "pydantic", "rich", "numpy", "tensorflow"):
        assert f"'{heavy}'" not in done.stdout


def test_a_comparison_lies_in_the_result_that_is_printed() -> None:
    from armopt.core.baseline import compare as compared

    result = read_result(FIRST)
    found = compared(subject_of_result(result, "ptq"), subject_of_result(result), 0.01)
    again = Result.model_validate_json(result.model_copy(update={"comparison": found}).model_dump_json(by_alias=True))
    assert again.comparison == found and found.verdict == "held"

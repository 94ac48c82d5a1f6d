from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from armopt.cli.main import run
from armopt.cli.measured import names_of
from armopt.core.device import BoardKind
from armopt.core.records import Audit, Latency, Measurement, OperatorTime

Asked = list[tuple[str, tuple[int, ...], dict[str, Any]]]


def operator(kind: str, index: int | None, latency_ms: float, whole: float) -> OperatorTime:
    return OperatorTime(
        index=index,
        kind=kind,
        shape=(1, 8, 8, 16),
        kernel=f"tflite::optimized_ops::{kind}",
        run_by="runtime",
        latency_ms=latency_ms,
        share=latency_ms / whole,
        core_ms=latency_ms,
        cache_ms=0.0,
        memory_ms=0.0,
        overhead_ms=0.0,
        instructions=1000,
        bound="multiply",
        advice="fewer channels",
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Puts figures in place of the emulator, and collects what was asked for."""
    seen: Asked = []

    def measure_each(artifact: Path, device: BoardKind, threads: Sequence[int], **options: Any) -> Any:
        seen.append((artifact.name, tuple(threads), options))
        half = 0.5 if artifact.name == "after.tflite" else 1.0
        found = []
        for number in threads:
            whole = 24 * half / number
            rows = (operator("CONV_2D", 0, 0.75 * whole, whole), operator("runtime", None, 0.25 * whole, whole))
            found.append(
                Measurement(
                    device=device.name,
                    runner="qemu",
                    evidence="modelled",
                    runtime="litert 2.1.6",
                    threads=number,
                    freq_mhz=device.cpu.freq_mhz,
                    latency_ms=Latency(p50=whole),
                    interval_ms=(0.8 * whole, 1.25 * whole),
                    interval_source="a test",
                    instructions=2000,
                    operators=rows if options["by_operator"] else None,
                    seconds=1.0,
                )
            )
        return found, ()

    monkeypatch.setattr("armopt.measuring.measure_each", measure_each)
    held = Audit(sha256="0", size_bytes=1, gz_bytes=1, sparsity=0, max_codes=1, layers=())
    monkeypatch.setattr("armopt.compress.audit.audit", lambda path: held)
    return seen


def measure(*further: str) -> int:
    return run(["measure", "before.tflite", "--device", "pi4", *further])


def test_latency_is_one_figure_with_its_evidence_and_interval(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure() == 0
    assert "24 ms (modelled, 19.2 to 30)" in capsys.readouterr().out
    assert asked[0][:2] == ("before.tflite", (1,)) and asked[0][2]["by_operator"] is False


def test_the_command_of_the_issue_is_one_document(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("--emulate", "--threads", "4", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["threads"] == 4 and told["latency_ms"]["p50"] == 6 and told["operators"] is None
    assert "by_threads" not in told and "compared" not in told


def test_several_numbers_of_threads_are_one_run_and_a_row_each(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure("--threads", "1,2,4") == 0
    text = capsys.readouterr().out
    assert "with 2 threads" in text and "6 ms (modelled, 4.8 to 7.5)" in text
    assert measure("--threads", "2,1,4", "--json", "--by-operator") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["threads"] == 2 and told["latency_ms"]["p50"] == 12
    assert [(each["threads"], each["latency_ms"]["p50"]) for each in told["by_threads"]] == [(2, 12), (1, 24), (4, 6)]
    assert sum(each["latency_ms"] for each in told["by_threads"][2]["operators"]) == pytest.approx(6)
    assert [threads for _, threads, _ in asked] == [(1, 2, 4), (2, 1, 4)]


@pytest.mark.parametrize("flag", ["--by-operator", "--all-operators"])
def test_operators_are_shown_on_request(asked: Asked, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert measure(flag) == 0
    text = capsys.readouterr().out
    assert "multiplying" in text and "#0 (75%)" in text


def test_two_files_are_told_before_and_after(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("--compare", "after.tflite", "--threads", "1,2") == 0
    text = capsys.readouterr().out
    assert "-9.00  -50%" in text and "after: after.tflite" in text and "multiplying" not in text
    assert [(name, threads) for name, threads, _ in asked] == [("before.tflite", (1, 2)), ("after.tflite", (1,))]


def test_the_document_has_operators_and_what_was_compared(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("--compare", "after.tflite", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["kind"] for each in told["operators"]] == ["CONV_2D", "runtime"]
    assert told["compared"]["artifact"] == "after.tflite" and told["compared"]["latency_ms"]["p50"] == 12
    conv = {"kind": "CONV_2D", "before_ms": 18.0, "after_ms": 9.0, "difference_ms": -9.0}
    assert told["compared"]["by_kind"][0] == conv
    assert len(told["compared"]["operators"]) == 2


def test_pictures_are_drawn_of_one_or_of_two(asked: Asked, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, further in (("one.png", ()), ("two.svg", ("--compare", "after.tflite"))):
        assert measure("--plot", str(tmp_path / name), *further) == 0
        assert (tmp_path / name).stat().st_size > 5000
        assert f"drew {tmp_path / name}" in capsys.readouterr().err
    assert measure("--plot", str(tmp_path / "missing" / "one.png")) == 4
    assert "can't be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("further", "complaint"),
    [
        (("--threads", "0"), "'0' is not in the range 1 to 64"),
        (("--threads", "1,65"), "'1,65' is not in the range 1 to 64"),
        (("--threads", "two"), "'two' is not a number of threads"),
        (("--threads", "1,"), "'1,' is not a number of threads"),
        (("--plot", "chart.pdf"), "'chart.pdf' is no picture's name; end it in .svg or .png"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    asked: Asked, capsys: pytest.CaptureFixture[str], further: tuple[str, ...], complaint: str
) -> None:
    assert measure(*further) == 2
    assert complaint in capsys.readouterr().err and not asked


def test_limits_are_held_against_the_first_number_of_threads(asked: Asked) -> None:
    assert [measure("--threads", order, "--max-latency", "10ms") for order in ("1,4", "4,1")] == [1, 0]


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    assert names_of(Path("a/model.tflite"), Path("b/model.tflite")) == ("a/model.tflite", "b/model.tflite")
    assert names_of(Path("a/one.tflite"), Path("b/two.tflite")) == ("one.tflite", "two.tflite")

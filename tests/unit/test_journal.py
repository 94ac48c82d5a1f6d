"""What is kept of a run here: all of it, whatever was torn, and not for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from armopt.runners.ssh.journal import Journal

KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path))
    return tmp_path / "board-runs" / f"mypi-{KEY[:24]}.jsonl"


def test_the_next_command_finds_the_run_and_its_rounds() -> None:
    first = Journal("mypi", KEY)
    first.add({"raw_ms": [1.0]})
    again = Journal("mypi", KEY)
    assert (again.run, again.rounds) == (first.run, [{"raw_ms": [1.0]}])
    assert Journal("other", KEY).run != first.run
    assert Journal("mypi", "f" * 64).rounds == []
    again.close()
    assert Journal("mypi", KEY).run != first.run


@pytest.mark.parametrize("torn", [b'{"raw_ms": [2.', b"{", b'{"raw_ms": [2.0]}'])
def test_a_torn_line_costs_that_line_and_no_other(file: Path, torn: bytes) -> None:
    first = Journal("mypi", KEY)
    first.add({"raw_ms": [1.0]})
    with file.open("ab") as stream:
        stream.write(torn)
    again = Journal("mypi", KEY)
    assert (again.run, again.rounds) == (first.run, [{"raw_ms": [1.0]}])
    again.add({"raw_ms": [3.0]})
    assert Journal("mypi", KEY).rounds == [{"raw_ms": [1.0]}, {"raw_ms": [3.0]}]


@pytest.mark.parametrize("content", [b"", b"\xff\n", b"5\n", b"[]\n", b'{"run": ""}\n', b'{"run": "x"}\nnonsense\n'])
def test_a_file_of_nonsense_is_begun_anew(file: Path, content: bytes) -> None:
    first = Journal("mypi", KEY)
    file.write_bytes(content)
    again = Journal("mypi", KEY)
    assert again.run and again.run != first.run and again.rounds == []
    again.add({"raw_ms": [1.0]})
    assert Journal("mypi", KEY).rounds == [{"raw_ms": [1.0]}]


def test_rounds_of_yesterday_are_no_part_of_todays_measurement(file: Path) -> None:
    first = Journal("mypi", KEY)
    first.add({"raw_ms": [1.0]})
    yesterday = time.time() - 86_401
    os.utime(file, (yesterday, yesterday))
    again = Journal("mypi", KEY)
    assert again.run != first.run and again.rounds == []

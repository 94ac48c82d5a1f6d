"""A board that lies, babbles or hangs: one clear line in time, and nothing of this machine's is touched.

hostile_board.py says what it says, behind a real sshd; the limits are shorter than a user's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hostile_board
import pytest
from board_at_hand import SETUP, AtHand
from sshd import Sshd

from armopt.core.errors import DeviceError
from armopt.runners.ssh import board_folder, board_run, requests
from armopt.runners.ssh.installing import install
from armopt.runners.ssh.requests import Requests
from armopt.show.text import clean

SCRIPT = Path(__file__).with_name("hostile_board.py")
ROUNDS = hostile_board.ROUNDS
# Silence, then a wait for a better connection, each with a margin for a machine that is busy.
LIMIT_S = 20.0

REQUESTS = {
    "endless lines": "says more than",
    "endless events": "says more than",
    "an endless line": "says more than",
    "endless complaints": "says more than",
    "dripping": "was not done within 2 s",
    "dripping lines": "was not done within 2 s",
    "dripping complaints": "was not done within 2 s",
    "silence": "was silent for 1.5 s",
    "nothing": "says nothing to 'lock take'",
    "half a line": "says nothing to 'lock take'",
    "deep nesting": "says nothing to 'lock take'",
    "a long number": "says nothing to 'lock take'",
    "no object": "says nothing to 'lock take'",
    "escapes": "board: ",
    "an escaping owner": "is used by ",
    "a dead token": "is used by me since unknown time",
}
NONSENSE = {
    "a round too far": "a round's number",
    "a round below": "a round's number",
    "a round of text": "a round's number",
    "negative times": "a round",
    "no number": "a round",
    "a huge time": "a round",
    "times of text": "a round",
    "no times": "a round",
    "an odd runtime": "a round",
    "an end at once": "an end",
    "an end too soon": "an end",
    "slices": "a slice's number",
    "a huge shape": "outputs",
    "a shape below": "outputs",
    "objects": "outputs",
    "no scale": "outputs",
    "no archive": "outputs",
    "a bomb": "outputs",
    "a small bomb": "outputs",
    "a climbing member": "outputs",
    "a pickle": "outputs",
    "code": "outputs",
}
RUNS = {
    "dead again": "died twice",
    "a run of silence": "says nothing of what it does",
    "alive for ever": "nothing came of the run for 2 s",
    "alive and gone": "nothing came of the run for 2 s",
    "progress for ever": "nothing came of the run for 2 s",
    "cooling for ever": "nothing came of the run for 2 s",
    "outputs for ever": "nothing came of the run for 2 s",
    "an odd failure": "the agent failed",
    "a huge file": "does not hand over",
    "a file without an end": "says more than",
    "a file that drips": "was not done within 2 s",
    "another file": "did not arrive whole",
    **{lie: f"tells {what} that makes no sense" for lie, what in NONSENSE.items()},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("server")
    lie = folder / "lie"
    with Sshd(folder, force_command=f'{sys.executable} -I -S {SCRIPT} "$(cat {lie})"') as running:
        yield running


@pytest.fixture
def board(server: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AtHand:
    """Limits of seconds; but `enough` for an honest board on a busy machine where nothing is to be waited for."""
    monkeypatch.setattr(requests, "PATIENCE_S", 0.1)
    return AtHand(server, monkeypatch, tmp_path)


def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for request in (Requests.ask, Requests.once):
        assert request.__kwdefaults__ is not None
        monkeypatch.setitem(request.__kwdefaults__, "silence_s", 1.5)
        monkeypatch.setitem(request.__kwdefaults__, "within_s", 2.0)
    monkeypatch.setattr(board_folder, "FOLLOWED_S", 20.0)
    monkeypatch.setattr(board_run, "QUIET_S", 2.0)


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".holder", ".log")}


def failed(board: AtHand, lie: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line that the user gets."""
    (board.server.folder / "lie").write_text(lie)
    board.through(None)
    here = board.model.parent
    before = files_of(here) | files_of(board.server.home)
    began = time.monotonic()
    with pytest.raises(DeviceError) as error:
        board.timed(ROUNDS)
    assert time.monotonic() - began < LIMIT_S
    line = str(error.value)
    assert line.isprintable() and len(line) < 500 and "; " in line and error.value.exit_code == 4
    assert all(len(clean(told)) < 500 for told in board.said) and len(board.said) < 50
    journals = set(here.glob("cache/board-runs/board-*.jsonl"))
    assert files_of(here) | files_of(board.server.home) == before | journals
    return line


@pytest.mark.parametrize("lie", REQUESTS)
def test_a_request_ends_in_one_line(board: AtHand, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short_limits(monkeypatch)
    assert REQUESTS[lie] in failed(board, lie, monkeypatch)


@pytest.mark.parametrize("lie", RUNS)
def test_a_run_ends_in_one_line(board: AtHand, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short_limits(monkeypatch)
    assert RUNS[lie] in failed(board, lie, monkeypatch)


@pytest.mark.parametrize("lie", ["no lie", "a banner", "more rounds than asked"])
def test_what_an_honest_board_says_is_taken(board: AtHand, lie: str) -> None:
    (board.server.folder / "lie").write_text(lie)
    assert [len(one.raw_ms) for one in board.timed(ROUNDS)] == [20] * ROUNDS


def test_what_it_says_to_have_installed_is_checked(board: AtHand) -> None:
    (board.server.folder / "lie").write_text("an odd installation")
    with closing(board.opened()) as opened, pytest.raises(DeviceError, match="what makes no sense") as error:
        install(opened, SETUP, "model", {"model.tflite": b"x"})
    assert str(error.value).isprintable()


def test_every_lie_is_told() -> None:
    assert {*REQUESTS, *RUNS, "more rounds than asked", "an odd installation"} == set(hostile_board.LIES)

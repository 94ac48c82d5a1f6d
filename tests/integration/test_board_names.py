"""Names that would do something in a shell, as names of models, files, folders and programs: they do nothing there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from board_at_hand import SETUP, AtHand
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sshd import Sshd

from armopt.core.errors import DeviceError, UsageError
from armopt.core.host import Host
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.connection import Connection
from armopt.runners.ssh.installing import install, name_on_board, rollback

CANARY = "the canary"
NASTY = (
    "$(rm -rf ~)", "`touch owned`", "; touch owned;", "' touch owned '", '" & touch owned & "', "-rf", "--", "..",
    "a\ntouch owned", "../../owned", ".", "~", "*", "a b", "\\", "!!", "ünï¢ödé \U0001f600", "\x1b[2J", "_x", "%s%n",
    "&&", "|sh", os.fsdecode(b"\xff\xfe"), "CON", "x" * 300,
)  # fmt: skip
pieces = st.sampled_from([*NASTY, " ", "'", '"', "$", "(", ")", "/", "-", ".", "\n", "é", "a"]) | st.text(max_size=5)
names = st.lists(pieces, min_size=1, max_size=5).map("".join)


@given(st.lists(names, min_size=2, max_size=2, unique=True))
@settings(max_examples=300, deadline=None)
@example(["_x", "x"])
@example(["a/b", "a-b"])
@example(["", "model"])
@example(["a" * 200, "a" * 201])
def test_names_on_a_board_are_plain_and_keep_apart(two: list[str]) -> None:
    first, second = (name_on_board(name) for name in two)
    assert first != second
    assert all(re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}", name) for name in (first, second))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("server")) as running:
        (running.home / CANARY).write_text("sings")
        yield running


def only(home: Path, folder: str) -> bool:
    """Whether there is nothing in the home but the canary and that folder, which is then removed."""
    first = folder.strip("/").split("/")[0]
    assert (home / CANARY).read_text() == "sings"
    found = {path.name for path in home.iterdir()}
    shutil.rmtree(home / first, ignore_errors=True)
    return found <= {CANARY, first}


def is_folder(name: str) -> bool:
    with contextlib.suppress(ValidationError):
        Host(name="board", device="pi4", ssh="board", folder=name)
        return not name.startswith("/") and CANARY not in name and len(name.encode()) < 100
    return False


folders = names.filter(is_folder)


@given(model=names, folder=folders)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@example(model="$(touch owned)\n' \"; touch owned", folder="-rf $(touch owned) 'a' \"b\"")
@example(model=os.fsdecode(b"\xff`touch owned`"), folder="`touch owned`; touch owned")
def test_a_model_of_any_name_is_installed_in_a_folder_of_any_name(board: AtHand, model: str, folder: str) -> None:
    host = board.host.model_copy(update={"folder": folder})
    with closing(BoardFolder(host, lambda: Connection(host, say=print), print)) as opened:
        for number in (1, 2):
            script = f"import sys; print({number}, *sys.argv[1:])"
            files = {"model.tflite": b"a model", "run_model.py": script.encode()}
            installed = install(opened, SETUP, model, files)
            assert (installed.version, installed.new) == (number, True)
            told = opened.run([f"{installed.folder}/run", "$(touch owned)"])
            assert told.stdout.decode() == f"{number} $(touch owned)\n"
        assert rollback(opened, model).version == 1
    assert installed.folder.startswith(str(board.server.home / folder.strip("/").split("/")[0]))
    assert only(board.server.home, folder)


@pytest.mark.parametrize("name", ["-x 'a' \"b\" $(touch owned)\n;`touch owned`", os.fsdecode(b"\xff\xfe ~*")])
def test_a_model_file_of_any_name_is_run(board: AtHand, tmp_path: Path, name: str) -> None:
    board.model = board.model.rename(tmp_path / name)
    assert len(board.timed(1)) == 1
    assert only(board.server.home, board.host.folder)


@pytest.mark.parametrize("file", ["../owned", "/tmp/owned", "-rf", "", "a\nb", "$(touch owned)", ".ssh"])
def test_files_of_other_names_are_not_installed(board: AtHand, file: str) -> None:
    with closing(board.opened()) as opened, pytest.raises(DeviceError, match="not a name"):
        install(opened, SETUP, "model", {file: b"content"})
    assert not [path for path in board.server.home.rglob("*owned*") if "folder of" not in path.name]
    assert only(board.server.home, board.host.folder)


@pytest.mark.parametrize("python", ["$(touch owned)", "python3; touch owned", "`touch owned`", f"{sys.executable} -V"])
def test_an_interpreter_of_any_name_is_no_command_line(board: AtHand, python: str) -> None:
    host = board.host.model_copy(update={"python": python})
    opened = BoardFolder(host, lambda: Connection(host, say=print), print)
    with closing(opened), pytest.raises((DeviceError, UsageError)):
        opened.lock()
    assert only(board.server.home, board.host.folder)

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from armopt.core.errors import UsageError
from armopt.runners.ssh.quoting import quoted

# Login shells of boards. The first two are on every machine that runs these tests.
SHELLS = ["sh", "bash", *(shell for shell in ("busybox", "zsh", "fish") if shutil.which(shell))]
NASTY = [
    "", " ", "-n", "--", "a b", "'", '"', "''", "\\", "\\'", "'\\''", "\n", "a\n'b\\", "$(touch owned)", "`id`", "~",
    "*", "=ls", "a=b", "%s", "!!", "#x", "{a,b}", "$HOME", "\x1b[2J", "\r", "ü€", "\udcff", ";", "&&", "|", "<", ">",
]  # fmt: skip
# Anything that a file's name can hold, bytes that are no UTF-8 among it.
anything = st.text(
    st.characters(exclude_characters="\0", exclude_categories=("Cs",)) | st.sampled_from("'\\\"$`\udc80\udcff")
)


def read_by(shell: str, command: str, folder: Path) -> list[str]:
    argv = [shell, "sh", "-c"] if shell == "busybox" else [shell, "-c"]
    done = subprocess.run(
        [*argv, command.encode("utf-8", "surrogateescape")], cwd=folder, capture_output=True, check=True
    )
    assert not done.stderr
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(anything, min_size=1, max_size=20))
@example(arguments=NASTY)
def test_a_shell_reads_what_was_quoted(shell: str, arguments: list[str], tmp_path: Path) -> None:
    # A folder's name comes first, so that the command itself is quoted, too.
    program = tmp_path / "a 'b' $(c)" / "-say"
    if not program.exists():
        program.parent.mkdir()
        program.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
        program.chmod(0o755)
    assert read_by(shell, quoted([str(program), *arguments]), tmp_path) == arguments
    assert [path.name for path in tmp_path.iterdir()] == ["a 'b' $(c)"]


def test_a_command_that_looks_like_an_assignment_or_a_keyword_is_a_command(tmp_path: Path) -> None:
    for word in ("a=b", "if", "!"):
        done = subprocess.run(["sh", "-c", quoted([word])], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 127
        assert "not found" in done.stderr


def test_nul_and_no_command_are_refused() -> None:
    with pytest.raises(UsageError, match="NUL"):
        quoted(["echo", "a\0b"])
    with pytest.raises(ValueError, match="no command"):
        quoted([])

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armopt.core.errors import DeviceError
from armopt.runners.ssh.script import DAMAGED, LOADER, run_script, script_command

ECHO = b"""
import json, sys
print(json.dumps([__name__, sys.argv, list(sys.stdin.buffer.read())]))
sys.exit(5)
"""


@dataclass(frozen=True)
class Done:
    code: int
    stdout: bytes
    stderr: str


@dataclass(frozen=True)
class HostHere:
    name: str = "here"
    python: str = sys.executable


class Here:
    """A connection to this machine: programs are started as they are given, and fed as an SSH channel feeds them."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | Iterable[bytes] = b"",
        silence_s: float = 30.0,
        within_s: float | None = None,
        most_bytes: int = 1 << 20,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Done:
        sent = stdin if isinstance(stdin, bytes) else b"".join(stdin)
        done = subprocess.run(argv, input=sent, capture_output=True, timeout=within_s or silence_s, check=False)
        assert len(done.stdout) <= most_bytes
        if on_stdout:
            on_stdout(done.stdout)
        return Done(done.returncode, done.stdout, done.stderr.decode())


def told(args: Sequence[str], payload: bytes | Iterable[bytes]) -> object:
    done = run_script(Here(), HostHere(), ECHO, args, payload=payload)  # type: ignore[arg-type]
    assert done.code == 5, done.stderr
    return json.loads(done.stdout)


def test_a_script_gets_its_arguments_and_the_rest_of_stdin() -> None:
    assert told(["-x", "a b"], b"\x00\xff\n") == ["__main__", ["armopt", "-x", "a b"], [0, 255, 10]]
    assert told([], iter([b"in", b"", b"pieces"])) == ["__main__", ["armopt"], list(b"inpieces")]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20), max_size=4))
def test_no_argument_is_taken_for_an_option_of_python(args: list[str]) -> None:
    assert told(args, b"") == ["__main__", ["armopt", *args], []]


def test_a_script_longer_than_a_pipe_is_read_whole() -> None:
    source = b"#" * 300_000 + b"\nimport sys\nprint(len(sys.stdin.buffer.read()))"
    done = run_script(Here(), HostHere(), source, [], payload=bytes(200_000))  # type: ignore[arg-type]
    assert (done.code, done.stdout) == (0, b"200000\n")


def test_every_prefix_of_a_script_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    # Each line is a whole program: a loader that ran what came would leave the mark early on.
    line = f"open({str(mark)!r}, 'a').write('x')\n".encode()
    source = line * 3
    command = script_command(sys.executable, source, [])

    def run_prefix(cut: int) -> tuple[int, bytes]:
        done = subprocess.run(command, input=source[:cut], capture_output=True, check=False)
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(run_prefix, range(len(source)))) == {(DAMAGED, b"")}
    assert not mark.exists()
    assert subprocess.run(command, input=source, check=False).returncode == 0
    assert mark.read_text() == "xxx"


def test_a_damaged_script_does_not_run_and_is_one_clear_line() -> None:
    class Flipping(Here):
        def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", **options: object) -> Done:
            sent = bytearray(b"".join(stdin))  # type: ignore[arg-type]
            sent[3] ^= 1
            return super().run(argv, stdin=bytes(sent))

    with pytest.raises(DeviceError, match="here: a script came to the board damaged and was not run; run again"):
        run_script(Flipping(), HostHere(), b"print('ran')", [])  # type: ignore[arg-type]


def test_neither_the_environment_nor_the_current_folder_changes_what_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert told([], b"") == ["__main__", ["armopt"], []]


def test_a_board_without_that_python_is_told_what_to_do() -> None:
    class Shell(Here):
        def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", **options: object) -> Done:
            return super().run(["sh", "-c", shlex.join(argv)], stdin=stdin)

    with pytest.raises(DeviceError, match=r"here: the board has no program 'python3-of-old'; .*apt install python3"):
        run_script(Shell(), HostHere(python="python3-of-old"), ECHO, [])  # type: ignore[arg-type]


def test_the_loader_is_one_line_that_single_quotes_keep_whole() -> None:
    assert LOADER.isascii()
    assert not set("\n'$`\\!") & set(LOADER)

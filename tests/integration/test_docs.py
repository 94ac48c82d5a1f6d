"""The documentation: its site is built without a warning, and the commands of its guides do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_project import write_project
from virtual_board import Board

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDES = ("first-deploy", "tree", "devices", "boards", "ci", "ethos-u")
# A block of commands may say before it how they may end: `<!-- exits 0, 1 -->`; else they have to end with 0.
_BLOCK = re.compile(r"(?:<!-- exits (?P<codes>[\d, ]+) -->\n+)?```console\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A line of a guide, and the exit codes that are as it says."""

    text: str
    codes: tuple[int, ...]


def commands_of(guide: str) -> Iterator[Command]:
    text = (REPOSITORY / "docs" / f"{guide}.md").read_text()
    for block in _BLOCK.finditer(text):
        codes = tuple(int(code) for code in (block["codes"] or "0").split(","))
        for line in block["text"].splitlines():
            if line.startswith("$ "):
                yield Command(line.removeprefix("$ "), codes)


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for guide in GUIDES:
        assert (tmp_path / "site" / guide / "index.html").is_file()
    told = (tmp_path / "site/python/index.html").read_text()
    assert "Prune, cluster and quantize a model until one of the leaves meets the target" in told


def test_every_decision_is_listed() -> None:
    listed = (REPOSITORY / "docs/adr/README.md").read_text()
    for page in (REPOSITORY / "docs/adr").glob("0*.md"):
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert f"- [{title}]({page.name})" in listed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the guides speak of: model.keras, model.tflite and data.npz."""
    model, x, y = write_project(tmp_path, 192, 64)
    import armopt

    # A bias of zeros is left out by the converter, and tflite-runtime 2.14 crashes on a dense layer without one.
    model.layers[-1].bias.assign([0.1, -0.1])
    armopt.export(model, (x, y), tmp_path / "model.tflite")
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def raspberry(folder: Path, virtual_board: Board, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, with a board at raspberrypi.local."""
    config = folder / "ssh_config"
    lines = ["Host raspberrypi.local", "HostName 127.0.0.1", f"Port {virtual_board.port}", "User armopt"]
    config.write_text("\n".join([*lines, f'IdentityFile "{virtual_board.host.identity}"', "IdentitiesOnly yes"]) + "\n")
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(config))
    return folder


@pytest.mark.guides
@pytest.mark.timeout(3000)
def test_the_commands_of_the_guide_to_boards(raspberry: Path) -> None:
    check_commands("boards", raspberry)


@pytest.mark.guides
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide != "boards"])
def test_the_commands_of_a_guide(guide: str, folder: Path) -> None:
    check_commands(guide, folder)


def check_commands(guide: str, folder: Path) -> None:
    commands = list(commands_of(guide))
    assert commands
    for command in commands:
        # Someone else's login: the guide's pi has a key for it, the virtual board knows one user.
        text = command.text.replace("pi@raspberrypi.local", "armopt@raspberrypi.local")
        where = REPOSITORY if text.startswith("make ") else folder
        done = subprocess.run(["bash", "-c", text], cwd=where, capture_output=True, text=True, timeout=600)
        assert done.returncode in command.codes, f"$ {text}\n{done.stdout}\n{done.stderr}"

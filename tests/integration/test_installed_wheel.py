"""armopt as a user installs it: from a wheel, run outside of the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def _armopt(installed: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "ARMOPT_CONFIG_DIR": str(tmp_path / "config")}
    command = [sys.executable, "-m", "armopt", *arguments]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)


def test_the_wheel_runs_from_its_own_files(installed: Path, tmp_path: Path) -> None:
    code = "import armopt; print(armopt.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(shown.stdout.strip()).is_relative_to(installed)


def test_the_wheel_brings_its_boards_and_profiles(installed: Path, tmp_path: Path) -> None:
    boards = _armopt(installed, tmp_path, "devices", "--json")
    tree = _armopt(installed, tmp_path, "tree", "--device", "pi4")
    assert (boards.returncode, tree.returncode) == (0, 0), boards.stderr + tree.stderr
    shipped = {path.stem for path in (REPOSITORY / "devices").glob("*.toml")}
    assert {kind["name"] for kind in json.loads(boards.stdout)} == shipped
    assert "pcqat" in tree.stdout


def test_a_board_of_the_users_own_is_found_before_the_packaged_ones(installed: Path, tmp_path: Path) -> None:
    own = tmp_path / "config/devices"
    own.mkdir(parents=True)
    text = (REPOSITORY / "devices/pi4.toml").read_text()
    (own / "pi4.toml").write_text(text.replace("Raspberry Pi 4", "my own board, a Raspberry Pi 4", 1))
    assert "my own board" in _armopt(installed, tmp_path, "devices").stdout


def test_what_the_emulator_is_made_from_is_in_the_wheel(installed: Path) -> None:
    assert (installed / "armopt/runners/qemu/plugin.c").is_file()
    assert (installed / "armopt/runners/qemu/sysroot.lock.toml").is_file()

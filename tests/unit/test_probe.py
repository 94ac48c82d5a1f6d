from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from armopt.core.errors import DeviceError
from armopt.runners.ssh.probe import check_probe, parse_probe, probe_command


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def probed(folder: Path, python: str = "python3", *, alone: bool = False) -> bytes:
    """What the probe prints where programs in `folder` are found first, or are the only ones."""
    path = str(folder) if alone else f"{folder}:{os.environ['PATH']}"
    command = ["/bin/sh", *probe_command(python)[1:]]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, check=False).stdout


def test_a_board_that_is_fit_is_told_as_it_is(tmp_path: Path) -> None:
    program(tmp_path, "uname", "echo aarch64")
    program(tmp_path, "python3", "echo 3.11.2")
    told = parse_probe(probed(tmp_path))
    assert (told.machine, told.bits, told.python) == ("aarch64", 64, "3.11.2")
    check_probe(told, "python3")


def test_lines_of_a_login_script_are_left_out(tmp_path: Path) -> None:
    told = parse_probe(b"Welcome!\nmachine sun4m\n" + probed(tmp_path) + b"armopt\n\xff\xfe\n")
    assert told.machine == os.uname().machine


@pytest.mark.parametrize(
    ("programs", "complaint"),
    [
        ({"getconf": "echo 32"}, "32-bit on a 64-bit kernel; runtimes need 64 bits; install the 64-bit image"),
        ({"uname": "echo armv7l"}, r"32-bit \(armv7l\); runtimes need 64 bits"),
        ({"uname": "echo x86_64"}, "no 64-bit Arm machine but x86_64"),
        ({}, "no python3; on Debian run there: sudo apt install python3"),
        ({"python3": "echo 3.7.3"}, "python3 is 3.7.3, and 3.9 is needed"),
        ({"python3": "exit 1"}, "python3 does not start"),
        ({"python3": "echo nonsense"}, "python3 does not start"),
    ],
)
def test_what_a_board_lacks_is_said_with_the_way_out(programs: dict[str, str], complaint: str, tmp_path: Path) -> None:
    for name, text in {"uname": "echo aarch64", "getconf": "echo 64", **programs}.items():
        program(tmp_path, name, text)
    with pytest.raises(DeviceError, match=complaint):
        check_probe(parse_probe(probed(tmp_path, alone=True)), "python3")


def test_a_board_without_getconf_is_taken_as_its_kernel_says(tmp_path: Path) -> None:
    program(tmp_path, "uname", "echo aarch64")
    program(tmp_path, "python3", "echo 3.13.0rc1")
    told = parse_probe(probed(tmp_path, alone=True))
    assert told.bits is None
    check_probe(told, "python3")


@pytest.mark.parametrize("answer", [b"", b"\x00" * 1000, b"This account is not available.\n", b"armopt machine \n"])
def test_what_is_no_answer_is_a_device_error(answer: bytes) -> None:
    with pytest.raises(DeviceError, match="does not answer as a Linux system does"):
        parse_probe(answer)


def test_an_interpreter_with_spaces_and_quotes_in_its_name_is_only_a_name(tmp_path: Path) -> None:
    program(tmp_path, "py $(touch owned) 'x", "echo 3.12.1")
    assert parse_probe(probed(tmp_path, "py $(touch owned) 'x")).python == "3.12.1"
    assert not (Path() / "owned").exists()

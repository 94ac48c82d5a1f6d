from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import zipfile
from pathlib import Path

import pytest
from board_facts import pi4

from armopt.core.device import RuntimeName
from armopt.core.errors import DeviceError
from armopt.runners.qemu.sysroot import read_lock
from armopt.runners.ssh.slim import RULES, slim
from armopt.runners.ssh.wheels import LOCK_FILE, LockedWheel, Plan, choose_runtime, fetch, read_runtimes

ENTRY = "cp311-cp311-manylinux_2_27_aarch64.manylinux2014_aarch64"


def test_the_lock_was_made_by_the_rules_that_are_in_force() -> None:
    assert read_runtimes().rules == RULES, "run tools/lock_runtimes.py"


def test_boards_get_the_runtimes_that_emulated_boards_have() -> None:
    for name, emulated in read_lock().runtimes.items():
        [plan] = [plan for plan in read_runtimes().plans if (plan.runtime, plan.python) == (name, read_lock().python)]
        assert [wheel.sha256 for wheel in plan.wheels] == [wheel.sha256 for wheel in emulated.wheels]


def test_every_plan_is_a_runtime_with_a_numpy_that_it_can_be_beside() -> None:
    for plan in read_runtimes().plans:
        runtime, numpy = plan.wheels
        tag = "cp" + plan.python.replace(".", "")
        assert all(f"-{tag}-{tag}-" in wheel.file and wheel.file.endswith("_aarch64.whl") for wheel in plan.wheels)
        assert (numpy.name, numpy.version.startswith("1.")) == ("numpy", runtime.name == "tflite-runtime")
        assert re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}", plan.name)
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in plan.digests)
    assert len({plan.name for plan in read_runtimes().plans}) == len(read_runtimes().plans)
    assert "://" not in LOCK_FILE.read_text(encoding="ascii")


@pytest.mark.parametrize(
    ("python", "libc", "glibcxx", "wanted", "chosen"),
    [
        ("3.11.2", "2.36", "3.4.30", None, "litert 2.1.6"),  # Debian 12
        ("3.13.5", "2.41", "3.4.33", None, "litert 2.1.6"),  # Debian 13
        ("3.10.12", "2.35", "3.4.30", "litert", "litert 2.1.6"),  # Ubuntu 22.04
        ("3.12.3", "2.39", "3.4.33", None, "litert 2.1.6"),  # Ubuntu 24.04
        ("3.9.2", "2.31", "3.4.28", None, "litert 2.1.0"),  # Debian 11: no wheel of 2.1.6 for its Python
        ("3.9.2", "2.31", "3.4.28", "tflite-runtime", "tflite-runtime 2.14.0"),  # its tag says glibc 2.34
        ("3.9.18", "2.28", "3.4.25", None, "tflite-runtime 2.14.0"),  # an old C library
        ("3.11.2", "2.34", "3.4.29", None, "tflite-runtime 2.14.0"),  # an old C++ library
        ("3.11.0rc1+", "2.36", "3.4.30", None, "litert 2.1.6"),
    ],
)
def test_a_board_gets_the_newest_runtime_that_runs_there(
    python: str, libc: str, glibcxx: str, wanted: RuntimeName | None, chosen: str
) -> None:
    plan = choose_runtime(pi4(python=python, libc_version=libc, glibcxx=glibcxx), wanted, "mypi")
    assert f"{plan.runtime} {plan.version}" == chosen
    assert plan.python == ".".join(python.split(".")[:2])


@pytest.mark.parametrize(
    ("changed", "wanted", "complaint"),
    [
        ({"system_bits": 32}, None, "32-bit on a 64-bit kernel; .*; install the 64-bit image"),
        ({"machine": "armv7l", "system_bits": 32, "python_bits": 32}, None, r"32-bit \(armv7l\)"),
        ({"python_bits": 32}, None, "Python is a 32-bit one; name a 64-bit one"),
        ({"machine": "riscv64"}, None, "no 64-bit Arm machine but riscv64"),
        ({"libc": "musl", "libc_version": None}, None, "C library is musl, and runtimes need glibc"),
        ({"libc": None, "libc_version": None}, None, "C library is unknown"),
        ({"implementation": "pypy"}, None, "pypy 3.11.2, and runtimes are made for plain CPython"),
        ({"python": "3.13.1", "abiflags": "t"}, None, "cpython 3.13.1t, and runtimes are made for plain CPython"),
        ({"python": "3.8.10"}, None, r"no runtime for the board's Python 3.8.10; install Python 3.9 to 3.13"),
        ({"python": "3.15.0"}, None, "no runtime for the board's Python 3.15.0"),
        ({"python": "3.12.1"}, "tflite-runtime", "no tflite-runtime for .* 3.12.1; litert 2.1.6 does run there"),
        ({"libc_version": "2.31"}, "litert", "glibc has 2.31, and 2.34 is needed; tflite-runtime 2.14.0 does run"),
        ({"glibcxx": "3.4.28"}, "litert", "has GLIBCXX_3.4.28, and GLIBCXX_3.4.30 is needed"),
        ({"libc_version": "2.24"}, None, "glibc has 2.24, and 2.34 is needed; install a newer system"),
        ({"glibcxx": None}, None, r"libstdc\+\+ is missing \(Debian: sudo apt install libstdc\+\+6\)"),
    ],
)
def test_a_board_that_can_have_none_is_told_why_and_what_to_do(
    changed: dict[str, object], wanted: RuntimeName | None, complaint: str
) -> None:
    with pytest.raises(DeviceError, match=f"^mypi: .*{complaint}") as caught:
        choose_runtime(pi4(**changed), wanted, "mypi")
    assert "\n" not in str(caught.value)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of one small wheel, which pip finds in a folder of this machine and nowhere else."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel, out = shelf / f"tiny_runtime-1.0-{ENTRY}.whl", tmp_path / "slim.zip"
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("tiny_runtime/__init__.py", "")
        made.writestr("tiny_runtime/tests/test.py", "")
        made.writestr(
            "tiny_runtime-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-runtime\nVersion: 1.0\n"
        )
        made.writestr("tiny_runtime-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    slim(wheel, out)
    for key, value in {"NO_INDEX": "1", "FIND_LINKS": str(shelf), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{key}", value)
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path / "cache"))
    content, sent = wheel.read_bytes(), out.read_bytes()
    locked = LockedWheel(
        name="tiny-runtime",
        version="1.0",
        file=wheel.name,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        slim_bytes=len(sent),
        slim_sha256=hashlib.sha256(sent).hexdigest(),
        glibc="2.17",
    )
    return Plan(runtime="litert", python="3.11", wheels=(locked,))


def digests(paths: list[Path]) -> tuple[str, ...]:
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


def test_wheels_are_fetched_once_and_damaged_ones_again(plan: Plan) -> None:
    said: list[str] = []
    [path] = fetch(plan, say=said.append, offline=False)
    assert digests([path]) == plan.digests
    assert zipfile.ZipFile(path).namelist() == [
        "tiny_runtime-1.0.dist-info/METADATA",
        "tiny_runtime-1.0.dist-info/WHEEL",
        "tiny_runtime/__init__.py",
    ]
    assert fetch(plan, say=said.append, offline=True) == [path]
    assert len(said) == 1
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DeviceError, match=r"tiny-runtime 1.0 for the board is not in the cache .*; run once without"):
        fetch(plan, say=said.append, offline=True)
    assert digests(fetch(plan, say=said.append, offline=False)) == plan.digests
    assert sorted(found.name for found in path.parent.iterdir()) == [".lock", path.name]


def test_a_wheel_with_other_content_than_is_locked_is_refused(plan: Plan, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shelf" / plan.wheels[0].file, "a") as wheel:
        wheel.writestr("tiny_runtime/more.py", "evil = 1")
    with pytest.raises(DeviceError, match=r"fetching the board's wheels failed: .*check the network"):
        fetch(plan, say=print, offline=False)
    assert [path.name for path in (tmp_path / "cache/wheels").iterdir()] == [".lock"]


def test_a_machine_without_pip_is_told_how_to_get_it(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"pip is not there to fetch the board's wheels; run: .* -m ensurepip"):
        fetch(plan, say=print, offline=False)


def test_a_cache_that_can_not_be_written_is_one_line(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DeviceError, match=r"can't be written .*; make room or permit it"):
        fetch(plan, say=print, offline=False)

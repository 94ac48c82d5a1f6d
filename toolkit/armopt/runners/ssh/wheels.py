"""Which wheels a board gets: chosen by its facts from the lock, fetched on this machine, made slim, kept in the cache.

The lock says what the libraries inside really need: ai-edge-litert 2.1.6 is tagged for glibc 2.27 and needs 2.34,
tflite-runtime 2.14.0 is tagged for 2.34 and needs 2.27.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from pydantic import Field

from armopt.catalog.search_path import cache_dir
from armopt.catalog.toml_record import read_toml_record
from armopt.core.device import RuntimeName
from armopt.core.errors import DeviceError
from armopt.core.records import Record
from armopt.runners.base import Say
from armopt.runners.qemu.tools import run
from armopt.runners.ssh.facts import Facts
from armopt.runners.ssh.probe import check_system
from armopt.runners.ssh.slim import slim

LOCK_FILE = Path(__file__).with_name("runtimes.lock.toml")
_NEWER = "install a newer system there (Debian 12, Ubuntu 22.04, or the Raspberry Pi OS made of it)"


class LockedWheel(Record):
    """One wheel, and what of it goes to a board."""

    name: str
    version: str
    file: str = Field(description="its name, with the tags of Python and platform")
    size_bytes: int
    sha256: str
    slim_bytes: int = Field(description="size of what `slim` leaves of it")
    slim_sha256: str
    glibc: str = Field(description="newest symbol version of the C library that its libraries need")
    glibcxx: str | None = Field(None, description="the same of the C++ library")

    @property
    def platforms(self) -> list[str]:
        """The platforms that its name is tagged for."""
        return self.file.removesuffix(".whl").rsplit("-", 1)[1].split(".")


class Plan(Record):
    """A runtime with its numpy for one version of CPython on aarch64."""

    runtime: RuntimeName
    python: str
    wheels: tuple[LockedWheel, ...] = Field(min_length=1)

    @property
    def version(self) -> str:
        """Version of the runtime."""
        return self.wheels[0].version

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the files that `fetch` gives, in their order."""
        return tuple(wheel.slim_sha256 for wheel in self.wheels)

    @property
    def name(self) -> str:
        """Name of the folder that holds its packages; another one for other content."""
        key = hashlib.sha256(" ".join(self.digests).encode()).hexdigest()[:12]
        return f"{self.runtime}-{self.version}-python{self.python}-{key}"

    @property
    def size_bytes(self) -> int:
        """Bytes that go to the board, before compression."""
        return sum(wheel.slim_bytes for wheel in self.wheels)

    @property
    def title(self) -> str:
        """For messages."""
        packages = ", ".join(f"{wheel.name} {wheel.version}" for wheel in self.wheels)
        return f"{packages} for Python {self.python} ({self.size_bytes / 1e6:.0f} MB before compression)"

    def lacking(self, facts: Facts) -> str:
        """What the board lacks for it, '' for nothing."""
        for library, package, has, needs in (
            ("glibc", "libc6", facts.libc_version, [wheel.glibc for wheel in self.wheels]),
            ("libstdc++", "libstdc++6", facts.glibcxx, [wheel.glibcxx for wheel in self.wheels if wheel.glibcxx]),
        ):
            needed = max(needs, key=_numbers, default=None)
            if needed is None:
                continue
            if has is None:
                return f"{library} is missing (Debian: sudo apt install {package})"
            if _numbers(has) < _numbers(needed):
                symbols = "" if library == "glibc" else "GLIBCXX_"
                return f"{library} has {symbols}{has}, and {symbols}{needed} is needed"
        return ""


class RuntimesLock(Record):
    """The lock file: for each Python the plans, the better one first."""

    rules: str = Field(description="of `slim`, by which the checksums were made")
    plans: tuple[Plan, ...]


@functools.cache
def read_runtimes() -> RuntimesLock:
    """The lock file of this installation."""
    return read_toml_record(LOCK_FILE, RuntimesLock)


def choose_runtime(facts: Facts, wanted: RuntimeName | None, who: str) -> Plan:
    """The wheels for a board.

    Args:
        facts: what it says of itself.
        wanted: its runtime; None for the first that runs there.
        who: the board's name, for errors.

    Raises:
        DeviceError: no runtime runs there, or not the wanted one; with the way out.
    """
    try:
        _check_python(facts)
        return _choose(facts, wanted)
    except DeviceError as error:
        raise DeviceError(f"{who}: {error.what}", error.mend) from error


def _check_python(facts: Facts) -> None:
    check_system(facts.machine, facts.system_bits)
    if facts.python_bits == 32:
        raise DeviceError("the board's Python is a 32-bit one", "name a 64-bit one with `python` in hosts.toml")
    if facts.libc != "glibc":
        found = facts.libc or "unknown"
        raise DeviceError(
            f"the board's C library is {found}, and runtimes need glibc",
            "install a system with glibc there: Debian, Ubuntu, Raspberry Pi OS",
        )
    if facts.implementation != "cpython" or facts.abiflags:
        kind = f"{facts.implementation} {facts.python}{facts.abiflags}"
        raise DeviceError(
            f"the board's Python is {kind}, and runtimes are made for plain CPython",
            "name another with `python` in hosts.toml",
        )


def _choose(facts: Facts, wanted: RuntimeName | None) -> Plan:
    python = "{}.{}".format(*facts.python_version)
    plans = [plan for plan in read_runtimes().plans if plan.python == python]
    if not plans:
        known = sorted({_numbers(plan.python) for plan in read_runtimes().plans})
        first, last = (".".join(map(str, version)) for version in (known[0], known[-1]))
        raise DeviceError(
            f"there is no runtime for the board's Python {facts.python}",
            f"install Python {first} to {last} there and name it with `python` in hosts.toml",
        )
    fit = [plan for plan in plans if not plan.lacking(facts)]
    asked = [plan for plan in plans if wanted in (None, plan.runtime)]
    for plan in fit:
        if plan in asked:
            return plan
    if not asked:
        what = f"there is no {wanted} for the board's Python {facts.python}"
    else:
        what = f"{asked[0].runtime} {asked[0].version} does not run on the board: {asked[0].lacking(facts)}"
    raise DeviceError(what, f"{fit[0].runtime} {fit[0].version} does run there" if fit else _NEWER)


def fetch(plan: Plan, *, say: Say, offline: bool) -> list[Path]:
    """The plan's files for the board, in the cache folder, fetched on first use and checked against the lock.

    Raises:
        DeviceError: fetching failed, the disk is full, or `offline` and a file is not there yet.
    """
    folder = cache_dir() / "wheels"
    paths = [folder / f"{wheel.slim_sha256}.zip" for wheel in plan.wheels]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            missing = [
                wheel for wheel, path in zip(plan.wheels, paths, strict=True) if not _holds(path, wheel.slim_sha256)
            ]
            if missing and offline:
                names = ", ".join(f"{wheel.name} {wheel.version}" for wheel in missing)
                raise DeviceError(f"{names} for the board is not in the cache ({folder})", "run once without --offline")
            if missing:
                _fetch(missing, plan.python, folder, say)
    except OSError as error:
        raise DeviceError(
            f"{folder}: can't be written ({error.strerror or error})", "make room or permit it"
        ) from error
    return paths


def _fetch(wheels: Sequence[LockedWheel], python: str, folder: Path, say: Say) -> None:
    size = sum(wheel.size_bytes for wheel in wheels) / 1e6
    say(
        "fetching for the board: "
        + ", ".join(f"{wheel.name} {wheel.version}" for wheel in wheels)
        + f" ({size:.0f} MB)"
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as scratch:
        requirements = Path(scratch) / "requirements.txt"
        lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in wheels]
        requirements.write_text("\n".join(lines) + "\n", encoding="ascii")
        platforms = sorted({platform for wheel in wheels for platform in wheel.platforms})
        download(["--require-hashes", "-r", str(requirements)], python, platforms, Path(scratch))
        for wheel in wheels:
            path, out = Path(scratch) / wheel.file, Path(scratch) / f"{wheel.slim_sha256}.zip"
            if not _holds(path, wheel.sha256):
                raise DeviceError(f"{wheel.file} did not arrive as it is locked", "run again")
            slim(path, out)
            if not _holds(out, wheel.slim_sha256):
                raise RuntimeError(f"{wheel.file}: slim differs from the lock: run tools/lock_runtimes.py")
            out.replace(folder / out.name)


def download(what: Sequence[str], python: str, platforms: Sequence[str], folder: Path) -> None:
    """Have pip download wheels for CPython `python` on `platforms` into `folder`.

    Raises:
        DeviceError: there is no pip, or it failed.
    """
    if importlib.util.find_spec("pip") is None:  # uv makes environments without it, and downloads no wheels itself
        raise DeviceError("pip is not there to fetch the board's wheels", f"run: {sys.executable} -m ensurepip")
    options = ["--only-binary=:all:", "--no-deps", "--implementation", "cp", "--python-version", python, "--quiet"]
    options += [option for platform in platforms for option in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *what]
    run(command, "fetching the board's wheels", "check the network, then run again")


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file is there and has that content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))

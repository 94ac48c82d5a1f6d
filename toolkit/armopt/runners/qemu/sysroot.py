"""The emulated board's file system: Debian packages extracted without root, the runtime's wheels, compiled bytecode.

It lies in the user's cache under a name made from the lock file, is built beside and renamed when whole, and one more
folder per board kind links to it and adds that board's /proc/cpuinfo and its list of CPUs. QEMU 7.2 passes the host's
files through, and a runtime that reads those chooses the same kernels for every core; where the host shows none at all
(a chroot without /sys), it falls back to kernels that no board of the kind would run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from armopt.catalog.search_path import cache_dir
from armopt.core.device import BoardKind
from armopt.core.errors import DeviceError
from armopt.runners.base import Say
from armopt.runners.qemu.debian import NETWORK, build_once, compile_python, extract_packages, require_debian
from armopt.runners.qemu.tools import require, run

LOCK_FILE = Path(__file__).with_name("sysroot.lock.toml")


class Wheel(BaseModel):
    """One wheel of the lock file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: str
    platform: str
    sha256: str


class LockedRuntime(BaseModel):
    """An inference runtime: its wheels, and the library with its kernels inside them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    library: str
    wheels: tuple[Wheel, ...]


class SysrootLock(BaseModel):
    """The lock file: what the system is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    suite: str
    architecture: str
    python: str
    packages: tuple[str, ...]
    runtimes: dict[str, LockedRuntime]


def read_lock() -> SysrootLock:
    """The lock file of this installation."""
    return SysrootLock.model_validate(tomllib.loads(LOCK_FILE.read_text(encoding="utf-8")))


def site_of(runtime: str) -> str:
    """The folder of a runtime's Python packages, below the root: each has its own, for they need different numpys."""
    return f"usr/lib/armopt/{runtime}"


def ensure_sysroot(*, say: Say, offline: bool) -> Path:
    """The folder of the whole system, built on first use (seconds; about 35 MB to fetch).

    Raises:
        DeviceError: a program is missing, fetching failed, or `offline` and the folder is not there yet.
    """
    root = cache_dir() / "sysroot" / hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()[:12]
    if root.is_dir():
        return root
    if offline:
        raise DeviceError(f"the emulator's system is not in the cache ({root})", "run once without --offline")
    require("qemu-aarch64", "mmdebstrap")
    require_debian()
    lock = read_lock()

    def build(tree: Path) -> None:
        say(f"emulator: extracting {lock.architecture} packages of Debian {lock.suite}")
        extract_packages(tree, lock.suite, lock.architecture, lock.packages)
        for name, runtime in lock.runtimes.items():
            _install_wheels(tree / site_of(name), runtime.wheels, lock.python, tree.parent, say)
        say("emulator: compiling its Python modules")
        compile_python(tree, lock.python, [f"usr/lib/python{lock.python}", *map(site_of, lock.runtimes)])

    return build_once(root, build)


def ensure_board_root(device: BoardKind, *, say: Say, offline: bool) -> Path:
    """A folder for `qemu-aarch64 -L`: the shared system through links, with what the device's kernel would show."""
    shared = ensure_sysroot(say=say, offline=offline)
    shown = _kernel_files(device)
    key = hashlib.sha256(f"{shared.name} {sorted(shown.items())}".encode()).hexdigest()[:8]
    root = cache_dir() / "sysroot" / f"{shared.name}-{device.cpu.core}-{key}"

    def build(tree: Path) -> None:
        for name, content in shown.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content, encoding="ascii")
        for entry in shared.iterdir():
            if entry.name not in ("proc", "sys"):
                # Relative, so that the cache can be moved or restored elsewhere as a whole.
                (tree / entry.name).symlink_to(Path("..") / shared.name / entry.name)

    return build_once(root, build)


def _kernel_files(device: BoardKind) -> dict[str, str]:
    """Files of /proc and /sys by which runtimes tell CPUs apart: path below the root -> content."""
    cpus = f"0-{device.cpu.cores - 1}\n" if device.cpu.cores > 1 else "0\n"
    folder = "sys/devices/system/cpu"
    return {"proc/cpuinfo": device.cpuinfo(), f"{folder}/possible": cpus, f"{folder}/present": cpus}


def package_versions(root: Path) -> dict[str, str]:
    """Debian package -> version of what was extracted."""
    lines = (root / "packages.txt").read_text(encoding="ascii").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def _install_wheels(site: Path, wheels: Sequence[Wheel], python: str, scratch: Path, say: Say) -> None:
    requirements = scratch / "requirements.txt"
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in wheels]
    requirements.write_text("\n".join(lines) + "\n", encoding="ascii")
    say("emulator: fetching " + ", ".join(f"{wheel.name} {wheel.version}" for wheel in wheels))
    common = ["--only-binary=:all:", "--no-deps", "--require-hashes", "-r", str(requirements)]
    common += ["--python-version", python, "--target", str(site), "--quiet"]
    if importlib.util.find_spec("pip"):
        platforms = [option for wheel in wheels for option in ("--platform", wheel.platform)]
        command = [sys.executable, "-m", "pip", "install", "--no-compile", "--implementation", "cp", *platforms]
    elif uv := shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent)):
        # uv makes environments without pip
        command = [uv, "pip", "install", "--python", sys.executable, "--python-platform", "aarch64-manylinux_2_28"]
    else:
        raise DeviceError("neither pip nor uv is there to fetch the emulator's wheels", "run: python -m ensurepip")
    run([*command, *common], "fetching the emulator's wheels", NETWORK)

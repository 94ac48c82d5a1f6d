"""Debian's packages for another architecture in a folder, without root: extracted, with their Python compiled."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from armopt.core.errors import DeviceError
from armopt.runners.qemu.tools import require, run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # what mmdebstrap checks Debian's signatures with
NETWORK = "check the network, then run again: nothing half-built is kept"


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """`folder`, which `build` makes at the path that it is given; renamed when whole, other processes wait for it.

    What `build` leaves beside that path is removed.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"), tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as scratch:
        if not folder.is_dir():  # another process can have built it while this one waited
            fresh = Path(scratch) / "root"
            build(fresh)
            fresh.rename(folder)
    return folder


def require_debian() -> None:
    """Raise DeviceError where what `extract_packages` needs is not installed."""
    require("mmdebstrap")
    if not KEYRING.is_file():  # Ubuntu does not bring it
        raise DeviceError(
            f"Debian's signing keys are missing ({KEYRING})", "run: apt-get install debian-archive-keyring"
        )


def extract_packages(tree: Path, suite: str, architecture: str, packages: Sequence[str]) -> None:
    """Fetch the packages and what they depend on, and extract them into `tree`; packages.txt there has their versions.

    Raises:
        DeviceError: fetching or extracting failed.
    """
    # chrootless needs neither root nor user namespaces: nothing of the foreign system is run.
    options = ["--variant=extract", "--mode=chrootless", f"--architectures={architecture}"]
    options += ["--skip=cleanup/apt/cache", "--quiet", f"--include={','.join(packages)}"]
    run(["mmdebstrap", *options, suite, str(tree)], f"extracting {architecture} packages of Debian {suite}", NETWORK)
    archives = tree / "var/cache/apt/archives"
    fetched = sorted(path.stem.split("_") for path in archives.glob("*.deb"))
    listed = "".join(f"{name} {version.replace('%3a', ':')}\n" for name, version, _ in fetched)
    shutil.rmtree(archives)
    (tree / "packages.txt").write_text(listed, encoding="ascii")


def compile_python(tree: Path, python: str, folders: Sequence[str]) -> None:
    """Byte-compile the modules in `folders` below `tree`: emulated start-up falls from 8 s to 1.6 s.

    Raises:
        DeviceError: nothing of the first folder could be compiled.
    """
    if sys.version_info[:2] == tuple(map(int, python.split("."))):
        interpreter = [sys.executable]  # same bytecode format, and ten times faster than emulated
    else:
        require("qemu-aarch64")
        interpreter = ["qemu-aarch64", "-L", str(tree), str(tree / f"usr/bin/python{python}")]
    # Modules of other Python versions' syntax in test folders may not compile: that is no failure.
    options = ["-qq", "-j0", "-s", str(tree), "-p", "/", "--invalidation-mode", "unchecked-hash"]
    command = [*interpreter, "-m", "compileall", *options, *(str(tree / folder) for folder in folders)]
    try:
        run(command, "compiling the emulator's Python modules")
    except DeviceError:
        if not any((tree / folders[0]).glob("__pycache__/*.pyc")):
            raise

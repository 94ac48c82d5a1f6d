"""The virtual board's kernel and first file system, built without root on first use into the user's cache.

The image lies under a name made from its recipe: the lock file, the files of `guest/`, and the code that joins them.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from armopt.catalog.search_path import cache_dir
from armopt.core.errors import DeviceError
from armopt.core.record import Record
from armopt.runners.base import Say
from armopt.runners.qemu.debian import build_once, compile_python, extract_packages, require_debian
from armopt.runners.qemu.tools import BOARD_PACKAGES, require
from armopt.runners.virtual import cpio

_HERE = Path(__file__).parent
LOCK_FILE = _HERE / "board.lock.toml"
GUEST_FILES = _HERE / "guest"
_EXECUTABLE = {"init"}
_CONSOLE = cpio.Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))  # the first process' stdout


class BoardLock(Record):
    """The lock file: what the board's system is made of. `keep` and `omit` are patterns of paths below the root."""

    suite: str
    architecture: str
    python: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    keep: tuple[str, ...]
    omit: tuple[str, ...]


@dataclass(frozen=True)
class Image:
    """A built image."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """What QEMU boots."""
        return self.folder / "kernel"

    @property
    def initramfs(self) -> Path:
        """The archive that becomes the board's root."""
        return self.folder / "initramfs.cpio"


def read_lock() -> BoardLock:
    """The lock file of this installation."""
    return BoardLock.model_validate(tomllib.loads(LOCK_FILE.read_text(encoding="utf-8")))


def ensure_image(*, say: Say, offline: bool) -> Image:
    """The image, built on first use (about 60 MB to fetch).

    Raises:
        DeviceError: a program is missing, fetching failed, or `offline` and the image is not there yet.
    """
    folder = cache_dir() / "board" / "images" / _recipe()
    if folder.is_dir():
        return Image(folder)
    if offline:
        raise DeviceError(f"the virtual board's image is not in the cache ({folder})", "run once without --offline")
    require(*BOARD_PACKAGES)  # what boots it, too: all that is missing is named at once
    require_debian()
    return Image(build_once(folder, lambda fresh: _build(fresh, read_lock(), say)))


def _recipe() -> str:
    recipe = hashlib.sha256()
    for path in (LOCK_FILE, Path(cpio.__file__), Path(__file__), *_guest_files()):
        recipe.update(path.relative_to(_HERE).as_posix().encode() + b"\0" + path.read_bytes())
    return recipe.hexdigest()[:12]


def _guest_files() -> list[Path]:
    return sorted(path for path in GUEST_FILES.rglob("*") if path.is_file())


def _build(folder: Path, lock: BoardLock, say: Say) -> None:
    tree = folder.parent / "tree"
    say(f"virtual board: extracting {lock.architecture} packages of Debian {lock.suite}")
    extract_packages(tree, lock.suite, lock.architecture, lock.packages)
    say("virtual board: compiling its Python modules")
    compile_python(tree, lock.python, [f"usr/lib/python{lock.python}"])
    say("virtual board: writing the image")
    folder.mkdir()
    image = Image(folder)
    shutil.move(_only(tree, "boot/vmlinuz-*"), image.kernel)
    shutil.move(tree / "packages.txt", folder)
    entries = [*_from_packages(tree, lock), *_modules(tree, lock), *_own_files(lock)]
    with image.initramfs.open("wb") as out:
        cpio.write_newc(cpio.with_folders(entries), out)


def _only(tree: Path, pattern: str) -> Path:
    found = sorted(tree.glob(pattern))
    if len(found) != 1:
        raise DeviceError(f"Debian's packages have {len(found)} of {pattern} where one was expected", "update armopt")
    return found[0]


def _from_packages(tree: Path, lock: BoardLock) -> Iterator[cpio.Entry]:
    for path in tree.rglob("*"):
        name = path.relative_to(tree).as_posix()
        if not any(fnmatch(name, pattern) for pattern in lock.keep):
            continue
        if any(fnmatch(name, pattern) for pattern in lock.omit):
            continue
        if path.is_symlink():
            yield cpio.link(name, str(path.readlink()))
        elif path.is_file():
            yield cpio.file(name, path, executable=bool(path.stat().st_mode & stat.S_IXUSR))


def _modules(tree: Path, lock: BoardLock) -> Iterator[cpio.Entry]:
    modules = _only(tree, "lib/modules/*") / "kernel"
    names = [Path(module).name for module in lock.modules]
    for name, module in zip(names, lock.modules, strict=True):
        yield cpio.file(f"lib/modules/{name}", _only(modules, module))
    yield cpio.file("lib/modules/order", "".join(f"{name}\n" for name in names).encode())


def _own_files(lock: BoardLock) -> Iterator[cpio.Entry]:
    yield _CONSOLE
    yield cpio.link("bin/sh", "busybox")
    yield cpio.link("usr/bin/python3", f"python{lock.python}")
    for path in _guest_files():
        name = path.relative_to(GUEST_FILES).as_posix()
        yield cpio.file(name, path, executable=name in _EXECUTABLE)

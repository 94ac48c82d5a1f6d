"""Compiles plugin.c on first use; the result is cached under a name made from its source and QEMU's interface."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

from armopt.catalog.search_path import cache_dir
from armopt.core.errors import DeviceError
from armopt.runners.base import Say
from armopt.runners.qemu.tools import require, run

SOURCE = Path(__file__).with_name("plugin.c")


def qemu_version() -> tuple[int, int]:
    """Major and minor version of the installed qemu-aarch64."""
    require("qemu-aarch64")
    text = run(["qemu-aarch64", "--version"], "asking QEMU for its version")
    found = re.search(r"version (\d+)\.(\d+)", text)
    if not found:
        raise DeviceError(f"qemu-aarch64 does not say its version: {text[:80]!r}", "install Debian's qemu-user")
    return int(found[1]), int(found[2])


def plugin_api(version: tuple[int, int]) -> int:
    """The interface version that plugin.c declares: QEMU 9.0 and newer refuse version 1, older ones know no other."""
    return 1 if version < (9, 0) else 3


def ensure_plugin(*, say: Say) -> Path:
    """The compiled plugin. Raises DeviceError where there is no compiler or it fails."""
    api = plugin_api(qemu_version())
    key = hashlib.sha256(SOURCE.read_bytes() + bytes([api])).hexdigest()[:12]
    built = cache_dir() / "plugin" / f"count-{key}.so"
    if built.is_file():
        return built
    require("cc")
    say("emulator: compiling the counting plugin")
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as scratch:
        fresh = Path(scratch) / "count.so"
        options = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden", f"-DARMOPT_PLUGIN_API={api}"]
        run(["cc", *options, "-o", str(fresh), str(SOURCE)], "compiling the counting plugin")
        fresh.replace(built)
    return built

"""Writes runners/ssh/runtimes.lock.toml: the wheels that boards get, what the libraries in them need, and checksums.

    python tools/lock_runtimes.py

Downloads every wheel (some 300 MB) from where pip is set to look.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
import zipfile
from pathlib import Path

from armopt.core.device import RuntimeName
from armopt.runners.ssh.slim import RULES, slim
from armopt.runners.ssh.wheels import LOCK_FILE, LockedWheel, Plan, download

_HEAD = f"""# Made by tools/lock_runtimes.py: the wheels that boards get; the first plan that fits a board is taken.
# glibc and glibcxx are the newest symbol versions in the libraries that go to the board; tags of wheels say otherwise.
rules = "{RULES}"
"""
# What to take for which Pythons. The same runtime as the emulated boards have, where it is made for that Python:
# 2.1.0 is the last ai-edge-litert for Python 3.9. tflite-runtime breaks beside numpy 2.
_WANTED: tuple[tuple[RuntimeName, str, str, tuple[str, ...]], ...] = (
    ("litert", "ai-edge-litert==2.1.6", "numpy==2.2.6", ("3.10", "3.11", "3.12", "3.13")),
    ("litert", "ai-edge-litert==2.1.0", "numpy==2.0.2", ("3.9",)),
    ("tflite-runtime", "tflite-runtime==2.14.0", "numpy==1.26.4", ("3.9", "3.10", "3.11")),
)
_PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in (17, 27, 28, 31, 34)))


def locked(requirement: str, python: str) -> LockedWheel:
    """Fetch one wheel and describe it."""
    name, version = requirement.split("==")
    with tempfile.TemporaryDirectory() as folder:
        download([requirement], python, _PLATFORMS, Path(folder))
        [wheel] = Path(folder).glob("*.whl")
        out = Path(folder) / "slim.zip"
        slim(wheel, out)
        content, sent = wheel.read_bytes(), out.read_bytes()
        return LockedWheel(
            name=name,
            version=version,
            file=wheel.name,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            slim_bytes=len(sent),
            slim_sha256=hashlib.sha256(sent).hexdigest(),
            glibc=newest_symbol(out, b"libc.so.6", b"GLIBC") or sys.exit(f"{wheel.name} uses no libc"),
            glibcxx=newest_symbol(out, b"libstdc++.so.6", b"GLIBCXX"),
        )


def newest_symbol(archive: Path, library: bytes, name: bytes) -> str | None:
    """The newest version of a library's symbols that shared objects in the archive use; None where none needs it."""
    found: set[bytes] = set()
    with zipfile.ZipFile(archive) as members:
        for content in (members.read(member) for member in members.namelist() if ".so" in member):
            # Names of libraries and of symbol versions stand in the string table, each between two NULs.
            if b"\0" + library + b"\0" in content:
                found |= {b"0", *re.findall(rb"(?<=\0)" + name + rb"_(\d+(?:\.\d+)+)(?=\0)", content)}
    return max(found, key=lambda version: [int(part) for part in version.split(b".")]).decode() if found else None


def main() -> None:
    """Write the lock."""
    lines = [_HEAD]
    for runtime, package, numpy, pythons in _WANTED:
        for python in pythons:
            plan = Plan(runtime=runtime, python=python, wheels=(locked(package, python), locked(numpy, python)))
            print(plan.title, file=sys.stderr)
            lines += ["[[plans]]", f'runtime = "{runtime}"', f'python = "{python}"', ""]
            for wheel in plan.wheels:
                values = {key: value for key, value in wheel.model_dump().items() if value is not None}
                lines += ["[[plans.wheels]]"]
                lines += [f'{key} = "{v}"' if isinstance(v, str) else f"{key} = {v}" for key, v in values.items()]
                lines += [""]
    LOCK_FILE.write_text("\n".join(lines).rstrip() + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

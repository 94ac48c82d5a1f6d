"""Programs that the emulator needs from the system: named with their packages where missing; armopt never installs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from armopt.core.errors import DeviceError

# program -> Debian and Ubuntu package
PACKAGES = {"qemu-aarch64": "qemu-user", "mmdebstrap": "mmdebstrap", "cc": "gcc libc6-dev"}
# The same for the virtual board, which emulated boards do without.
BOARD_PACKAGES = {"qemu-system-aarch64": "qemu-system-arm", "mmdebstrap": "mmdebstrap"}


def require(*programs: str) -> None:
    """Raise DeviceError naming every missing program's package, if any is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join((PACKAGES | BOARD_PACKAGES)[program] for program in missing)
        raise DeviceError(f"the emulator needs {', '.join(missing)}", f"run: apt-get install {packages}")


def run(command: Sequence[str], doing: str, mend: str = "mend that and run again") -> str:
    """Run `command` and return its stdout; DeviceError with its last line of complaint where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        cause = next((line for line in lines if line.startswith(("E:", "ERROR:"))), lines[-1] if lines else "")
        raise DeviceError(f"{doing} failed: {command[0]}: {cause.strip()[:300]}", mend)
    return done.stdout

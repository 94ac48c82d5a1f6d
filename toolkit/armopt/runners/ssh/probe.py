"""What a board's shell says before anything is sent there: the machine, its bits, its Python."""

from __future__ import annotations

import re

from armopt.core.errors import DeviceError
from armopt.core.record import Record

PYTHON_NEEDED = (3, 9)  # of armopt's scripts on the board, and of the oldest wheels that the lock has
_ANSWER_BYTES = 1 << 16


class Probe(Record):
    """What a board's shell says: `uname -m`, bits of its programs, and the version of its Python ('' for none)."""

    machine: str
    bits: int | None
    python_found: bool
    python: str


# One line of POSIX shell without single quotes, exclamation marks and backslashes: no login shell reads it otherwise.
_PROBE = (
    "echo armopt machine $(uname -m); echo armopt bits $(getconf LONG_BIT 2>/dev/null); "
    'command -v "$1" >/dev/null 2>&1 && echo armopt found yes; '
    'echo armopt python $("$1" -c "import sys; print(sys.version.split()[0])" 2>/dev/null </dev/null)'
)


def probe_command(python: str) -> list[str]:
    """The program and arguments that tell what a board is, before anything is sent there; `python` is the host's."""
    return ["sh", "-c", _PROBE, "sh", python]


def parse_probe(answer: bytes) -> Probe:
    """What the probe printed, other lines left out.

    Raises:
        DeviceError: it printed nothing of the kind.
    """
    told: dict[str, str] = {}
    for line in answer[:_ANSWER_BYTES].decode("utf-8", "replace").splitlines():
        mark, _, rest = line.partition(" ")
        key, _, value = rest.partition(" ")
        if mark == "armopt":
            told[key] = value.strip()[:64]
    if not told.get("machine"):
        raise DeviceError("the board does not answer as a Linux system does", "see what its login shell prints")
    bits = told.get("bits", "")
    return Probe(
        machine=told["machine"],
        bits=int(bits) if bits in ("32", "64") else None,
        python_found="found" in told,
        python=told.get("python", ""),
    )


def check_system(machine: str, bits: int | None) -> None:
    """Nothing, or DeviceError where no runtime runs on such a system: not Arm, or 32 bits."""
    image = "install the 64-bit image of its system"
    if machine in ("aarch64", "arm64"):
        if bits == 32:
            raise DeviceError("the board's system is 32-bit on a 64-bit kernel; runtimes need 64 bits", image)
    elif machine.startswith("arm"):
        raise DeviceError(f"the board's system is 32-bit ({machine}); runtimes need 64 bits", f"{image}, if it has one")
    else:
        raise DeviceError(f"the board is no 64-bit Arm machine but {machine}", "name an aarch64 board")


def check_probe(probe: Probe, python: str) -> None:
    """Nothing, or DeviceError where the board is not fit for armopt; `python` is the host's."""
    check_system(probe.machine, probe.bits)
    other = "or name another with `python` in hosts.toml"
    if not probe.python_found:
        raise DeviceError(f"the board has no {python}", f"on Debian run there: sudo apt install python3; {other}")
    numbers = tuple(int(part) for part in re.findall(r"\d{1,4}", probe.python)[:2])
    if len(numbers) < 2:
        raise DeviceError(f"the board's {python} does not start", f"mend it there: {python} -V; {other}")
    if numbers < PYTHON_NEEDED:
        needed = ".".join(map(str, PYTHON_NEEDED))
        raise DeviceError(
            f"the board's {python} is {probe.python}, and {needed} is needed", f"install a newer system, {other}"
        )

"""What a board says of itself when `board/facts.py` runs there, checked value by value: boards may lie."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from armopt.core.errors import DeviceError
from armopt.core.record import Record
from armopt.runners.ssh.probe import check_probe, parse_probe, probe_command

if TYPE_CHECKING:
    from armopt.core.host import Host
    from armopt.runners.ssh.board_folder import BoardFolder

_ANSWER_BYTES = 1 << 19

Text = Annotated[str, Field(max_length=300)]
Word = Annotated[str, Field(max_length=64)]
Version = Annotated[str, Field(max_length=32, pattern=r"^\d{1,9}(\.\d{1,9})*$")]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0, lt=1 << 16)]
Bits = Annotated[int, Field(ge=32, le=64)]
Cpus = Annotated[tuple[Index, ...], Field(max_length=1024)]


class _Told(Record):
    """Base of what a board tells: a value of another type is an error, not something to make the best of."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CoreGroup(_Told):
    """Processors that /proc/cpuinfo describes alike."""

    implementer: Index | None
    part: Index | None
    variant: Index | None
    revision: Index | None
    features: Annotated[tuple[Word, ...], Field(max_length=256)]
    processors: Cpus


class Policy(_Told):
    """One clock of the CPU: its limits, and who sets it. Its name may stand in a command that a user copies."""

    name: Annotated[str, Field(pattern=r"^policy\d{1,4}$")]
    cpus: Cpus
    governor: Word | None
    min_mhz: Number | None
    max_mhz: Number | None
    current_mhz: Number | None
    hardware_max_mhz: Number | None


class Zone(_Told):
    """A temperature."""

    name: Word | None
    celsius: Number


class Cooling(_Told):
    """A means of cooling, and how far it is applied: `state` of `most`."""

    name: Word | None
    state: Number
    most: Number | None


class Process(_Told):
    """A process that is not armopt's; `share` is of one core."""

    pid: Count
    name: Word
    share: Number


class Load(_Told):
    """What others did with the cores over half a second."""

    busy_cores: Number
    processes: Annotated[tuple[Process, ...], Field(max_length=5)]
    swap_pages_per_s: Number


class Memory(_Told):
    """Main memory and swap."""

    total_bytes: Count | None
    available_bytes: Count | None
    swap_total_bytes: Count | None
    swap_free_bytes: Count | None


class Place(_Told):
    """The file system of a folder; `free_inodes` is None where it counts none."""

    exists: bool
    writable: bool
    noexec: bool
    free_bytes: Count
    free_inodes: Count | None


class InstalledRuntime(_Told):
    """What could be imported from armopt's folder on the board; `error` says why nothing could."""

    name: Word | None
    version: Word | None
    numpy: Word | None
    error: Text | None


class Facts(_Told):
    """A board as it says itself that it is. What it does not show is None or empty.

    `machine` is that of `uname -m`; `system_bits` are those of its programs; `glibcxx` is the newest symbol version of
    its C++ library; `throttled` are a Raspberry Pi's flags; `runtime` is None where armopt put none there.
    """

    event: Literal["facts"] = Field("facts", exclude=True, repr=False, description="what the board calls this answer")
    machine: Word
    board: Text | None
    kernel: Text
    system: Text | None
    python: Word
    implementation: Word
    abiflags: Word
    python_bits: Bits
    system_bits: Bits | None
    libc: Word | None
    libc_version: Version | None
    glibcxx: Version | None
    cores: Annotated[tuple[CoreGroup, ...], Field(max_length=1024)]
    online: Cpus | None
    policies: Annotated[tuple[Policy, ...], Field(max_length=1024)]
    temperatures: Annotated[tuple[Zone, ...], Field(max_length=64)]
    cooling: Annotated[tuple[Cooling, ...], Field(max_length=64)]
    throttled: Annotated[int, Field(ge=0, lt=1 << 32)] | None
    load_average: tuple[Number, Number, Number] | None
    load: Load | None
    memory: Memory | None
    folder: Place | None
    home: Place | None
    runtime: InstalledRuntime | None
    boot_id: Word | None
    boottime_s: Number | None
    monotonic_s: Number
    wall_s: Number

    @field_validator("python")
    @classmethod
    def _is_a_version(cls, value: str) -> str:
        if not re.match(r"\d{1,3}\.\d{1,3}(\D|$)", value):
            raise ValueError("is no version of Python")
        return value

    @property
    def python_version(self) -> tuple[int, int]:
        """Major and minor version of the board's Python."""
        major, minor = re.findall(r"\d+", self.python)[:2]
        return int(major), int(minor)


def parse_facts(answer: bytes) -> Facts:
    """The facts in what `board/facts.py` printed; a login script may have printed before it.

    Raises:
        DeviceError: that is no list of facts, or a value in it is none that a board can have.
    """
    line = answer.strip().rpartition(b"\n")[2]
    mend = "see what its login scripts and its python3 print"
    try:
        return Facts.model_validate_json(line[:_ANSWER_BYTES])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        raise DeviceError(f"the board's answer is no list of facts ({line[:80]!r})", mend)
    where = ".".join(str(part)[:40] for part in first["loc"])[:120]
    raise DeviceError(f"the board's answer can't be right: {where or 'all'}: {first['msg'][:200]}", mend)


def look(board: BoardFolder, site: str = "") -> Facts:
    """The facts of a board, after a probe by its shell.

    Args:
        board: the board's folder; nothing is written there, and the board's lock is not needed.
        site: folder of the runtime's packages, relative to the home folder; '' leaves the runtime out.

    Raises:
        DeviceError: the board can't be reached, can't run armopt's scripts, or does not answer as they do.
    """
    host = board.host
    told = board.run(probe_command(host.python)).stdout
    with _named(host):
        check_probe(parse_probe(told), host.python)
    return read_facts(board, site)


def read_facts(board: BoardFolder, site: str = "") -> Facts:
    """As `look`, without a probe: for a board that is known to have a Python."""
    answer = board.text("facts", [board.host.folder, site])
    with _named(board.host):
        return parse_facts(answer)


@contextlib.contextmanager
def _named(host: Host) -> Iterator[None]:
    try:
        yield
    except DeviceError as error:
        raise DeviceError(f"{host.name}: {error.what}", error.mend) from error

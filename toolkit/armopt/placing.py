"""Where a run's models run: the user's boards, this machine as a board, the emulator, or an NPU's compiler."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from armopt.catalog.devices import find_device, find_kind
from armopt.catalog.hosts import find_host, hosts_of
from armopt.core.device import BoardKind
from armopt.core.errors import UsageError
from armopt.core.host import Host
from armopt.core.npu import NpuKind
from armopt.runners.ethosu.configs import with_ini

HERE = "local"  # --host local: this machine is the board


@dataclass(frozen=True)
class Place:
    """Where models run.

    Attributes:
        kind: of the board.
        hosts: the boards; none: it is emulated.
        here: the one host is this machine.
        why: in a sentence, what was taken; '' where it was named.
    """

    kind: BoardKind
    hosts: tuple[Host, ...] = ()
    here: bool = False
    why: str = ""


@dataclass(frozen=True)
class NpuPlace:
    """An NPU that models are compiled for and estimated on; they are not run.

    Attributes:
        kind: of the NPU, and the system around it.
        hosts: none: no firmware is reached.
        why: as of boards.
    """

    kind: NpuKind
    hosts: tuple[Host, ...] = ()
    why: str = ""


def find_place(
    device: str | None, host: str | None, emulate: bool, vela_ini: str | Path | None = None
) -> Place | NpuPlace:
    """What `--device`, `--host` and `--emulate` come to.

    Args:
        device: a board kind; its registered boards are taken, all of them, else it is emulated.
        host: names of registered boards of one kind, with commas between; or `local`, with a device.
        emulate: take the emulator whatever is registered.
        vela_ini: the user's own description of the system around an NPU.

    Raises:
        UsageError: unknown names, or names that do not go together.
    """
    kind = find_kind(device) if device is not None and host is None else None
    if isinstance(kind, NpuKind):
        return _beside(kind, emulate, vela_ini)
    if vela_ini is not None:
        raise UsageError("--vela-ini describes the system around an Ethos-U", "name one with --device")
    return find_boards(device, host, emulate)


def find_boards(device: str | None, host: str | None, emulate: bool) -> Place:
    """The same of boards alone, emulated ones too. Raises UsageError as `find_place`, and where an NPU is named."""
    if host is not None and emulate:
        raise UsageError("--host and --emulate exclude each other", "give one of them")
    if host == HERE:
        return _here(device)
    if host is not None:
        return _named(device, host)
    if device is None:
        raise UsageError("no device given", "name a board kind with --device, such as pi4; armopt devices lists them")
    kind = find_device(device)
    if kind.functional:
        raise UsageError(f"'{kind.name}' is no board to choose by kind", f"name it: --host {kind.name}")
    boards = () if emulate else hosts_of(kind.name)
    if boards:
        names = ", ".join(board.name for board in boards)
        return Place(kind, boards, why=f"{kind.name}: running on {names} (--emulate for the emulator)")
    return Place(kind, why="" if emulate else f"{kind.name}: emulated; no board of that kind is registered")


def _beside(kind: NpuKind, emulate: bool, vela_ini: str | Path | None) -> NpuPlace:
    if emulate:
        raise UsageError(f"{kind.name} is not emulated: its compiler estimates it", "leave out --emulate")
    return NpuPlace(
        with_ini(kind, Path(vela_ini)) if vela_ini is not None else kind,
        why=f"{kind.name}: estimated by its compiler, Vela; nothing runs there",
    )


def _named(device: str | None, names: str) -> Place:
    hosts = tuple(find_host(name.strip()) for name in dict.fromkeys(names.split(",")) if name.strip())
    kinds = {host.device for host in hosts}
    if not hosts:
        raise UsageError("--host names no board", "give a name that armopt hosts list shows")
    if len(kinds) > 1:
        raise UsageError(
            f"boards of different kinds: {', '.join(sorted(kinds))}", "name boards of one kind, or run once for each"
        )
    [kind] = kinds
    if device not in (None, kind):
        raise UsageError(f"{hosts[0].name} is a {kind}, not a {device}", "leave out --device, or correct it")
    return Place(find_device(kind), hosts)


def _here(device: str | None) -> Place:
    if device is None:
        raise UsageError("--host local needs to know what board this machine is", "name its kind with --device")
    kind = find_device(device)
    if platform.machine() not in ("aarch64", "arm64") or sys.platform != "linux":
        raise UsageError(
            f"this machine ({platform.machine()}) is no Arm board: its timings say nothing of a {kind.name}",
            "leave out --host for the emulator, or name a registered board",
        )
    return Place(kind, (Host(name=HERE, device=kind.name, ssh=HERE, python=sys.executable),), here=True)

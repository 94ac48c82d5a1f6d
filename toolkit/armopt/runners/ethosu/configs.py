"""Reads a vela.ini: which system configurations and memory modes it has, their clock, and what lies in which memory."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from configparser import ConfigParser, Error
from dataclasses import dataclass
from pathlib import Path

from armopt.core.errors import DeviceError, UsageError
from armopt.core.npu import NpuKind, NpuSystem

MISSING = DeviceError("Vela, the compiler for Ethos-U, is not installed", "run: pip install 'armopt[ethos-u]'")
SHIPPED = "Arm/vela.ini"
"""Vela's own file, by the name that its --config takes."""

_SYSTEM, _MODE = "System_Config.", "Memory_Mode."
# What Vela takes for a port that a memory mode does not name (architecture_features.py, `_get_vela_config`).
_FIRST_PORT = "Axi0"


@dataclass(frozen=True)
class Memories:
    """Where things lie.

    Attributes:
        constants: memory of weights, scales and commands: `Sram`, `Dram`, `OnChipFlash` or `OffChipFlash`.
        arena: memory of activations.
    """

    constants: str
    arena: str


def memories_of(system: NpuSystem) -> Memories:
    """Where a system keeps what.

    Raises:
        UsageError: its vela.ini can't be read or lacks the sections that it names, or has another clock.
        DeviceError: Vela is not installed.
    """
    path = Path(system.vela_ini) if system.vela_ini else _shipped()
    ini = _read(path)
    told, mode = _section(ini, path, _SYSTEM, system.system_config), _section(ini, path, _MODE, system.memory_mode)
    clock_mhz = _clock_mhz(told, path, system.system_config)
    if abs(clock_mhz - system.clock_mhz) > 1e-3:
        raise UsageError(
            f"the clock is {system.clock_mhz:g} MHz, but {system.system_config} in {path} has {clock_mhz:g} MHz",
            "correct one of them",
        )
    return Memories(*(told.get(mode.get(key, _FIRST_PORT).lower() + "_port", "") for key in _AREAS))


_AREAS = ("const_mem_area", "arena_mem_area")


def with_ini(kind: NpuKind, path: Path) -> NpuKind:
    """The same accelerator in the system that a vela.ini of the user's describes.

    Its system configuration and memory mode are those called as the kind's own, or the only ones that it has.

    Raises:
        UsageError: it can't be read, or leaves open which of several is meant.
    """
    ini = _read(path)
    system, mode = (
        _only(ini, path, prefix, own)
        for prefix, own in ((_SYSTEM, kind.system.system_config), (_MODE, kind.system.memory_mode))
    )
    told, placed = _section(ini, path, _SYSTEM, system), _section(ini, path, _MODE, mode)
    try:
        limit = int(placed.get("arena_cache_size", kind.system.arena_limit_bytes))
    except ValueError as error:
        raise UsageError(f"'{path}': {_MODE}{mode}: arena_cache_size is no number of bytes", "correct it") from error
    made = NpuSystem(
        system_config=system,
        memory_mode=mode,
        clock_mhz=_clock_mhz(told, path, system),
        arena_limit_bytes=limit,
        vela_ini=str(path.resolve()),
        source=str(path),
    )
    return kind.model_copy(update={"system": made})


def _shipped() -> Path:
    """Vela's own file, without importing Vela."""
    try:
        found = importlib.util.find_spec("ethosu.vela")
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise MISSING
    return Path(found.origin).parents[1] / "config_files" / SHIPPED


def _read(path: Path) -> ConfigParser:
    ini = ConfigParser()
    try:
        ini.read_string(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"'{path}' can't be read: {error.strerror}", "check the path") from error
    except (Error, UnicodeDecodeError) as error:
        what = str(error).splitlines()[0]
        raise UsageError(f"'{path}' is no vela.ini: {what}", "see Arm/vela.ini, which comes with Vela") from error
    if path.suffix != ".ini":
        raise UsageError(f"'{path}' is not called .ini", "Vela takes configurations with that ending only")
    return ini


def _section(ini: ConfigParser, path: Path, prefix: str, name: str) -> Mapping[str, str]:
    """A section with all that it inherits."""
    merged: dict[str, str] = {}
    section: str | None = prefix + name
    seen = set()
    while section is not None:
        if not ini.has_section(section) or section in seen:
            known = [known.removeprefix(prefix) for known in ini.sections() if known.startswith(prefix)]
            raise UsageError(f"'{path}' has no section {section}", f"it has: {', '.join(known) or 'none of that kind'}")
        seen.add(section)
        try:
            merged = {**dict(ini.items(section)), **merged}
        except Error as error:
            raise UsageError(f"'{path}': {str(error).splitlines()[0]}", "correct that line") from error
        section = merged.pop("inherit", None)
    return merged


def _only(ini: ConfigParser, path: Path, prefix: str, own: str) -> str:
    names = [section.removeprefix(prefix) for section in ini.sections() if section.startswith(prefix)]
    if own in names or len(names) == 1:
        return own if own in names else names[0]
    raise UsageError(
        f"'{path}' has {len(names)} sections {prefix}..., and none is called {own}",
        "leave the one that is meant, or give it that name",
    )


def _clock_mhz(told: Mapping[str, str], path: Path, name: str) -> float:
    try:
        clock = float(told["core_clock"]) / 1e6
    except (KeyError, ValueError) as error:
        raise UsageError(f"'{path}': {_SYSTEM}{name} has no core_clock", "give it in Hz, such as 500e6") from error
    if not 0 < clock < 1e5:
        raise UsageError(f"'{path}': core_clock {told['core_clock']} is no clock", "give it in Hz, such as 500e6")
    return clock

"""Finds kinds of devices by name: boards, `devices/NAME.toml` joined with the core file that it names, and NPUs.

What the user calibrated on a board of the kind (`catalog/calibrations.py`) comes with it.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from pydantic import ConfigDict

from armopt.catalog.calibrations import read_user_calibrations
from armopt.catalog.search_path import list_data
from armopt.catalog.toml_record import read_toml_record
from armopt.core.device import BoardFile, BoardKind, CoreKind, Kind
from armopt.core.errors import UsageError
from armopt.core.npu import NpuKind
from armopt.core.record import Record


class _Family(Record):
    """What tells a board's file from an NPU's."""

    model_config = ConfigDict(extra="ignore")

    family: str


def list_devices() -> list[str]:
    """Names of all known kinds, boards and NPUs, sorted."""
    return list(list_data("devices"))


def find_device(name: str) -> BoardKind:
    """The board kind called `name`, or described by the TOML file at that path.

    Raises:
        UsageError: no such board kind, or its file, its core's or the user's calibrations of it are wrong.
    """
    kind = find_kind(name)
    if isinstance(kind, NpuKind):
        raise UsageError(f"{kind.name} is an NPU, not a board that runs Linux", "name a board kind, such as pi4")
    return kind


def find_kind(name: str) -> Kind:
    """The kind of board or NPU called `name`, or described by the TOML file at that path.

    Raises:
        UsageError: no such kind, or its file, its core's or the user's calibrations of it are wrong.
    """
    if name.endswith(".toml") and Path(name).is_file():
        return _load(Path(name))
    known = list_data("devices")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? known: " if close else "known: "
        raise UsageError(f"unknown device {name!r}", hint + ", ".join(known))
    return _load(known[name])


def find_core(name: str) -> CoreKind:
    """The core called `name`. Raises UsageError where it is unknown or its file is wrong."""
    cores = list_data("devices/cores")
    if name not in cores:
        raise UsageError(f"unknown core {name!r}", "known: " + ", ".join(cores))
    return read_toml_record(cores[name], CoreKind)


def _load(path: Path) -> Kind:
    if read_toml_record(path, _Family).family == "ethos-u":
        return read_toml_record(path, NpuKind)
    board = read_toml_record(path, BoardFile)
    try:
        core = find_core(board.cpu.core)
    except UsageError as error:
        raise UsageError(f"{path}: cpu.core: {error.what}", error.mend) from error
    own = read_user_calibrations(board.name, core.name)
    return BoardKind(
        **{field: getattr(board, field) for field in BoardFile.model_fields},
        core=core,
        user_calibrations=own.calibrations if own else (),
    )

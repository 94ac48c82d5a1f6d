"""A user's own calibrations: `calibrations/KIND.toml` in the user's folder, what `armopt devices calibrate` fitted."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field

from armopt.catalog.private_file import write_private
from armopt.catalog.search_path import config_dir
from armopt.catalog.toml_record import read_toml_record, toml_line
from armopt.core.calibration import Calibration
from armopt.core.errors import StoreError, UsageError
from armopt.core.records import Record

# A board file may call itself anything; only such a name becomes a file's.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class UserCalibrations(Record):
    """The content of the file."""

    device: str
    core: str = Field(description="the core whose cycles the terms multiply")
    runtime: str = Field(description="runtime and version that the board ran")
    date: str = Field(description="of the fit, as YYYY-MM-DD")
    timings: int = Field(gt=0, description="how many it was fitted on")
    calibrations: tuple[Calibration, ...] = Field(min_length=1)


def user_calibrations_path(device: str) -> Path:
    """Where a board kind's file lies, whether it is there or not. Raises UsageError for a name that is no file's."""
    if not _PLAIN_NAME.fullmatch(device):
        raise UsageError(f"a board kind called {device!r} can't be calibrated", "name it with letters, digits and '-'")
    return config_dir() / "calibrations" / f"{device}.toml"


def read_user_calibrations(device: str, core: str) -> UserCalibrations | None:
    """The user's own for that board kind, or None.

    Raises:
        UsageError: the file is wrong, or was fitted for another core than the kind has now.
    """
    if not _PLAIN_NAME.fullmatch(device):
        return None
    path = user_calibrations_path(device)
    if not path.is_file():
        return None
    mend = f"run: armopt devices calibrate --device {device} --forget"
    try:
        found = read_toml_record(path, UserCalibrations)
    except UsageError as error:
        raise UsageError(error.what, mend) from error
    if found.core != core:
        raise UsageError(f"{path}: made for core {found.core}, {device} has {core}", mend)
    return found


def write_user_calibrations(found: UserCalibrations) -> Path:
    """Write the file, whole or not at all, in place of an older one; returns its path.

    Raises:
        UsageError: the kind's name is no file's.
        StoreError: it can't be written.
    """
    path = user_calibrations_path(found.device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror or error})", "make room or permit it") from error
    write_private(path, _toml(found))
    return path


def forget_user_calibrations(device: str) -> bool:
    """Remove the user's own for that board kind; whether there were any.

    Raises:
        UsageError: the kind's name is no file's.
        StoreError: the file can't be removed.
    """
    path = user_calibrations_path(device)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: can't be removed ({error.strerror})", "permit it") from error
    return True


def _toml(found: UserCalibrations) -> str:
    lines = [
        "# Written by `armopt devices calibrate`; `--forget` removes it.",
        *(toml_line(key, value) for key, value in found.model_dump(exclude={"calibrations"}).items()),
    ]
    for calibration in found.calibrations:
        values = calibration.model_dump()
        lines += ["", "[[calibrations]]", *(toml_line(key, value) for key, value in values.items())]
    return "\n".join(lines) + "\n"

"""Shapes that are timed on a board for the latency model: made, handed out, timed there, and what comes back read."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from armopt.catalog.calibrations import user_calibrations_path
from armopt.catalog.search_path import cache_dir
from armopt.core.device import BoardKind
from armopt.core.errors import DeviceError, StoreError, UsageError
from armopt.core.timings import BoardTimings
from armopt.runners.agent_job import AGENT
from armopt.runners.base import Say
from armopt.runners.ssh.installing import install
from armopt.runners.ssh.runner import BoardRunner

DRIVER = AGENT.with_name("measure.py")
_README = """Shapes that armopt times to calibrate its latency model for {device}.
1. Copy this folder to the board (scp -r) and run there: python3 measure.py   (needs numpy and {runtime}; some minutes)
2. Bring timings.json back, then: armopt devices calibrate --device {device} --timings timings.json
"""
_LARGEST_FILE = 16 << 20
# Each shape is timed for some seconds and says so; a board that says nothing for longer hangs.
_SILENCE_S = 120.0


def export_shapes(device: BoardKind, folder: Path, *, say: Say) -> None:
    """Write the shapes, what times them and how to go on into a new or empty folder.

    Raises:
        UsageError: the folder holds something, or nothing could be kept for a kind of that name.
        ConversionError, StoreError: a shape could not be made or written.
    """
    user_calibrations_path(device.name)  # refuses such a name before minutes were spent on the board
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"'{folder}' is not empty", "name a new folder")
    made = shapes(say)
    asked = {
        "device": device.name,
        "implementer": device.core.implementer,
        "part": device.core.part,
        "kernels": device.runtime.kernels,
        "threads": sorted({1, device.cpu.cores}),
        "probes": list(made),
    }
    text = _README.format(device=device.name, runtime=device.runtime.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in (*made.values(), AGENT, DRIVER):
            shutil.copy(source, folder / source.name)
        (folder / "probes.json").write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
        (folder / "README").write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"'{folder}' can't be written: {error.strerror or error}", "name another folder") from error


def time_here(device: BoardKind, *, say: Say) -> BoardTimings:
    """Time the shapes on this machine, which is a board of the kind. Raises DeviceError where it is no aarch64."""
    if platform.machine() != "aarch64":
        raise DeviceError(f"this machine is {platform.machine()}, not aarch64", "use --export, on the board measure.py")
    with tempfile.TemporaryDirectory(prefix="armopt-calibrate-") as scratch:
        folder = Path(scratch, "shapes")
        export_shapes(device, folder, say=say)
        done = subprocess.run([sys.executable, str(folder / DRIVER.name)], check=False)
        if done.returncode:
            raise DeviceError("the shapes could not be timed", "see the lines above")
        return read_timings(folder / "timings.json")


def time_on_board(device: BoardKind, runner: BoardRunner, *, say: Say) -> BoardTimings:
    """Time the shapes on a board over SSH; some minutes.

    Raises:
        DeviceError: the board failed, or could time nothing.
        UsageError: what it says is no timings.
    """
    runner.prepare()
    with tempfile.TemporaryDirectory(prefix="armopt-calibrate-") as scratch:
        folder = Path(scratch, "shapes")
        export_shapes(device, folder, say=say)
        installed = install(runner.board, runner.setup, "calibration", {one.name: one for one in folder.iterdir()})
        say(f"{runner.host.name}: timing the shapes, some minutes")
        done = runner.python([f"{installed.folder}/{DRIVER.name}"], silence_s=_SILENCE_S)
        if done.code != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise DeviceError(f"{runner.host.name}: the shapes could not be timed ({last[:300]})", "see armopt doctor")
        told = runner.board.run(["cat", f"{installed.folder}/timings.json"], most_bytes=_LARGEST_FILE).stdout
        path = Path(scratch, "timings.json")
        path.write_bytes(told)
        return read_timings(path)


def read_timings(path: Path) -> BoardTimings:
    """What measure.py wrote. Raises UsageError: unreadable, too large, or not such a file."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)  # a pipe or a device tells no size
        if len(content) > _LARGEST_FILE:
            raise UsageError(f"{path}: larger than {_LARGEST_FILE >> 20} MB", "give the timings.json of measure.py")
        return BoardTimings.model_validate_json(content)
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})", "check the path") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path}: {where}: {first['msg']}", "give the timings.json of measure.py") from error


def shapes(say: Say) -> dict[str, Path]:
    """The shapes by name, made on first use (half a minute) and kept in the cache."""
    from armopt.compress import probes
    from armopt.compress.backend import tf

    key = hashlib.sha256(f"{Path(probes.__file__).read_text(encoding='utf-8')} {tf.__version__}".encode())
    kept = cache_dir() / "shapes" / key.hexdigest()[:12]
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{kept}.lock"), tempfile.TemporaryDirectory(dir=kept.parent, prefix="making-") as scratch:
            if not kept.is_dir():
                fresh = Path(scratch, "shapes")
                fresh.mkdir()
                list(probes.write_probes(fresh, say))
                fresh.rename(kept)
    except OSError as error:
        raise StoreError(f"{kept}: can't be written ({error.strerror or error})", "make room or permit it") from error
    return {path.stem: path for path in sorted(kept.glob("*.tflite"))}

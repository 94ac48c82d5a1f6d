"""Runs Vela on a .tflite, in a process of its own: it prints, calls sys.exit, and dies of some damaged files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from armopt.core.errors import DeviceError, UsageError
from armopt.core.npu import NpuKind
from armopt.runners.ethosu.configs import MISSING, SHIPPED, memories_of
from armopt.runners.ethosu.report import Report, read_report

# The largest mobile networks compile in some seconds; ten minutes are a hang.
TIMEOUT_S = 600.0
# Vela names its files after the model: a name of ours keeps the user's out of its command line and its reports.
_NAME = "model"
_MOST_TOLD = 1 << 20
# Its classes of errors about options and configurations (ethosu/vela/errors.py).
_CONFIGURATION = ("ConfigOptionError", "CliOptionError", "InputFileError")


@dataclass(frozen=True)
class Compiled:
    """What Vela made.

    Attributes:
        model: the .tflite with the NPU's parts as custom operators.
        report: what it estimates.
        version: of Vela.
        warnings: why operators stay on the CPU, by the name of their output, in Vela's words.
    """

    model: bytes
    report: Report
    version: str
    warnings: dict[str, str]


def vela_version() -> str:
    """The installed Vela's version. Raises DeviceError where there is none."""
    try:
        return version("ethos-u-vela")
    except PackageNotFoundError:
        raise MISSING from None


def compile_for(model: Path, kind: NpuKind, timeout_s: float = TIMEOUT_S) -> Compiled:
    """Compile a model for an NPU and estimate its cost. Any number of these can run side by side.

    Args:
        model: the .tflite.
        kind: what to compile for.
        timeout_s: after which it has hung.

    Raises:
        UsageError: there is no such file, or the kind's vela.ini is wrong.
        DeviceError: Vela is missing, rejects the model, dies of it, hangs, or reports what this version can't read.
    """
    if not model.is_file():
        raise UsageError(f"'{model}' not found", "give the path of a .tflite")
    number, memories = vela_version(), memories_of(kind.system)
    with tempfile.TemporaryDirectory(prefix="armopt-vela-") as name:
        folder = Path(name)
        shutil.copyfile(model, folder / f"{_NAME}.tflite")
        told = _run(_command(kind, folder), folder, model, timeout_s)
        made = folder / f"{_NAME}_vela.tflite"
        if not made.is_file():
            raise DeviceError(f"Vela {number} made nothing of '{model}': {_last(told)}", "give it an INT8 .tflite")
        report = read_report(folder, _NAME, kind.system.system_config, memories, number)
        return Compiled(made.read_bytes(), report, number, _warnings(told))


def _command(kind: NpuKind, folder: Path) -> Sequence[str]:
    system = kind.system
    return (
        # -P: a file called numpy.py in the current folder is none of Vela's business.
        *(sys.executable, "-P", "-m", "ethosu.vela", str(folder / f"{_NAME}.tflite")),
        *("--accelerator-config", kind.npu.accelerator, "--config", system.vela_ini or SHIPPED),
        *("--system-config", system.system_config, "--memory-mode", system.memory_mode),
        *("--arena-cache-size", str(system.arena_limit_bytes), "--output-dir", str(folder)),
        *("--verbose-performance", "--enable-debug-db", "--show-cpu-operations"),
    )


def _run(command: Sequence[str], folder: Path, model: Path, timeout_s: float) -> str:
    """What Vela printed; its stdout and stderr go to a file, so that neither reaches the user's."""
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the whole foreground group; the parent decides what becomes of the child.
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise DeviceError(f"Vela did not finish '{model}' in {timeout_s:g} s", "give it a smaller model") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    with log.open("rb") as stream:
        told = stream.read(_MOST_TOLD).decode(errors="replace")
    if code != 0:
        raise _refused(code, told, model)
    return told


def _refused(code: int, told: str, model: Path) -> DeviceError:
    cause = _last(told).removeprefix("ethosu.vela.errors.")
    if code < 0:
        died = f"Vela died of '{model}' ({signal.Signals(-code).name}): {cause or 'it said nothing'}"
        return DeviceError(died, "the file is damaged, or of a kind that Vela can't read: export it again")
    if cause.startswith(_CONFIGURATION):
        return DeviceError(f"Vela refuses the configuration: {_plain(cause)}", "correct the vela.ini, or the device")
    return DeviceError(f"Vela rejects '{model}': {_plain(cause)}", "give it an INT8 .tflite that is not damaged")


def _last(told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _plain(cause: str) -> str:
    """The line without the name of a Python class before it, and without quotes around it."""
    return re.sub(r"^[\w.]+(?:Error|Exception): |Error: ", "", cause).strip("'\"")


_WARNING = re.compile(r"^Warning \(supported operators\) operator: \w+, ofm: '(.*)'\nReason: (.*)$", re.MULTILINE)


def _warnings(told: str) -> dict[str, str]:
    return {name: reason[:200] for name, reason in _WARNING.findall(told)}

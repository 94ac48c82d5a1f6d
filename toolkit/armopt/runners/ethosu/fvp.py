"""Runs a compiled model on Arm's simulated Corstone: the NPU's cycles from its counters, and the model's outputs.

Written after Arm's documents, and tested with a stand-in for the program: a run on Arm's own was not made.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from armopt.core.errors import DeviceError
from armopt.core.npu import NpuKind
from armopt.runners.base import Say
from armopt.runners.ethosu.fvp_models import (
    MODEL_BYTES,
    TENSOR_BYTES,
    find_firmware,
    find_fvp,
    fvp_command,
    fvp_environment,
)
from armopt.runners.ethosu.fvp_uart import TOTAL, counters_of, license_trouble, trouble_of

# A simulated second takes some; mobile networks take minutes.
TIMEOUT_S = 600.0
_MOST_TOLD = 1 << 20


@dataclass(frozen=True)
class Simulated:
    """What came of a run.

    Attributes:
        counters: of the NPU, by name; `NPU TOTAL` are the cycles of an inference.
        outputs: the model's, one after the other.
        program: the FVP.
        firmware: that ran on it.
    """

    counters: dict[str, int]
    outputs: bytes
    program: Path
    firmware: Path

    @property
    def cycles(self) -> int:
        """NPU cycles of one inference."""
        return self.counters[TOTAL]


def simulate(
    compiled: bytes, inputs: bytes, output_bytes: int, kind: NpuKind, *, say: Say, timeout_s: float = TIMEOUT_S
) -> Simulated:
    """One inference on the FVP, without windows.

    Args:
        compiled: Vela's .tflite.
        inputs: the model's inputs, one after the other.
        output_bytes: of the model's outputs.
        kind: the NPU.
        say: gets progress.
        timeout_s: after which it has hung.

    Raises:
        DeviceError: FVP or firmware is missing, the model is too large for it, or the run failed.
    """
    for what, size, most in (
        ("model", len(compiled), MODEL_BYTES),
        ("input", len(inputs), TENSOR_BYTES),
        ("output", output_bytes, TENSOR_BYTES),
    ):
        if size > most:
            raise DeviceError(
                f"the {what} has {size:,} bytes, and the FVP's firmware takes {most:,}", "give it a smaller model"
            )
    platform, program = find_fvp(kind)
    firmware = find_firmware(kind, platform)
    with tempfile.TemporaryDirectory(prefix="armopt-fvp-") as name:
        folder = Path(name)
        (folder / "model").write_bytes(compiled)
        (folder / "inputs").write_bytes(inputs)
        say(f"{program.name}: one inference with {kind.npu.macs} MACs")
        command = fvp_command(platform, program, firmware, kind, folder, output_bytes)
        told = _run(command, program, folder / "uart", timeout_s)
        counters = counters_of(told)
        if TOTAL not in counters:
            raise DeviceError(f"{program.name} told no NPU cycles: {trouble_of(told) or 'it said nothing'}", _ASK)
        return Simulated(counters, _outputs(folder / "outputs", output_bytes, program), program, firmware)


_ASK = "is it the FVP, the firmware and the MACs that the model was compiled for?"


def _run(command: Sequence[str], program: Path, log: Path, timeout_s: float) -> str:
    with log.open("wb") as stream:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                # A group of its own: it starts helpers, which have to end with it.
                start_new_session=True,
                env=fvp_environment(program),
            )
        except OSError as error:
            raise DeviceError(f"{program} can't be started: {error.strerror}", "install it again") from error
        try:
            code: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    with log.open("rb") as stream:
        told = stream.read(_MOST_TOLD).decode(errors="replace")
    # Its own word first: a program without a license may end with any code, or wait for a server for ever.
    if code != 0 and (unlicensed := license_trouble(told)):
        raise DeviceError(f"{program.name} has no license: {unlicensed}", "Arm's free FVPs need none: install one")
    if code is None:
        last = trouble_of(told)
        raise DeviceError(
            f"{program.name} did not end in {timeout_s:g} s: {last or 'it said nothing'}", "give it a smaller model"
        )
    if code != 0:
        ended = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        raise DeviceError(f"{program.name} {ended}: {trouble_of(told) or 'it said nothing'}", _ASK)
    return told


def _outputs(path: Path, size: int, program: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DeviceError(f"{program.name} left no outputs", "install it again") from error
    if len(content) != size:
        raise DeviceError(f"{program.name} left {len(content):,} bytes of outputs, not {size:,}", "install it again")
    return content

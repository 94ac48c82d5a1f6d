"""Which of Arm's Fixed Virtual Platforms stands for an Ethos-U, where it and its firmware are found, how it is called.

Source of names, addresses and options: Arm's MLIA (mlia/backend/corstone/performance.py) and the page of the inference
runner in Arm's ML Embedded Evaluation Kit (docs/use_cases/inference_runner.md, dynamic model loading).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from armopt.core.errors import DeviceError
from armopt.core.npu import NpuKind

# Where the firmware expects the model and its inputs, and leaves the outputs; and how much of each it takes.
MODEL_AT, INPUTS_AT, OUTPUTS_AT = 0x90000000, 0x92000000, 0x93000000
MODEL_BYTES, TENSOR_BYTES = 32 << 20, 16 << 20
FOLDER_VARIABLE, FIRMWARE_VARIABLE = "ARMOPT_FVP", "ARMOPT_FVP_FIRMWARE"
_FIRMWARE_PACKAGE = "mlia-ethos-u"


@dataclass(frozen=True)
class Platform:
    """One FVP.

    Attributes:
        corstone: number of the reference system.
        executable: its name.
        board: first part of its parameters' names.
        macs: parameter that sets the NPU's size.
        cpu: the instance whose memory is loaded and dumped.
        further: options that keep it from opening windows.
    """

    corstone: int
    executable: str
    board: str
    macs: str
    cpu: str
    further: tuple[str, ...] = ()


def _old(corstone: int, executable: str) -> Platform:
    return Platform(corstone, executable, "mps3_board", "ethosu.num_macs", "cpu0")


_NEW = Platform(
    320,
    "FVP_Corstone_SSE-320",
    "mps4_board",
    "mps4_board.subsystem.ethosu.num_macs",
    "mps4_board.subsystem.cpu0",
    ("vis_hdlcd.disable_visualisation=1",),
)
_PLATFORMS = {
    "u55": (_old(300, "FVP_Corstone_SSE-300_Ethos-U55"), _old(310, "FVP_Corstone_SSE-310")),
    "u65": (_old(300, "FVP_Corstone_SSE-300_Ethos-U65"), _old(310, "FVP_Corstone_SSE-310_Ethos-U65")),
    "u85": (_NEW,),
}


def family_of(kind: NpuKind) -> str:
    """`u55`, `u65` or `u85`."""
    return kind.npu.accelerator.split("-")[1]


def find_fvp(kind: NpuKind) -> tuple[Platform, Path]:
    """The first FVP for this NPU that is installed: where `ARMOPT_FVP` says (the program or its folder), or on PATH.

    Raises:
        DeviceError: none is.
    """
    platforms = _PLATFORMS[family_of(kind)]
    told = os.environ.get(FOLDER_VARIABLE)
    for platform in platforms:
        for place in _places(platform.executable, told):
            if place.is_file() and os.access(place, os.X_OK):
                return platform, place
    names = " or ".join(platform.executable for platform in platforms)
    where = f"where {FOLDER_VARIABLE} says ({told})" if told else "on PATH"
    mend = f"install Arm's Corstone-{platforms[0].corstone} FVP, and set {FOLDER_VARIABLE} to its folder"
    raise DeviceError(f"{names} is not {where}", mend)


def _places(executable: str, told: str | None) -> Iterator[Path]:
    if told:
        path = Path(told)
        if path.name == executable:
            yield path
        yield path / executable
        # As Arm's installer lays it out: models/Linux64_GCC-9.3/FVP_...
        yield from sorted(path.glob(f"models/*/{executable}"))
    elif found := shutil.which(executable):
        yield Path(found)


def find_firmware(kind: NpuKind, platform: Platform) -> Path:
    """The inference runner with dynamic model loading: `ARMOPT_FVP_FIRMWARE`, or that of the package `mlia-ethos-u`.

    Raises:
        DeviceError: neither is there.
    """
    told = os.environ.get(FIRMWARE_VARIABLE)
    if told:
        if Path(told).is_file():
            return Path(told)
        raise DeviceError(f"{FIRMWARE_VARIABLE} names '{told}', which is not there", "correct it, or unset it")
    family = family_of(kind).upper()
    name = re.compile(rf"inference_runner-sse-{platform.corstone}-[\d.]+-tflm-ethos-{family}-Default-noTA/.*\.axf$")
    for file in _packaged():
        if name.search(file.as_posix()) and file.is_file():
            return file
    raise DeviceError(
        f"the firmware for Corstone-{platform.corstone} with Ethos-{family} is not installed",
        # Its dependencies would replace packages of armopt's own.
        f"run: pip install --no-deps {_FIRMWARE_PACKAGE}; or set {FIRMWARE_VARIABLE} to an inference runner of yours",
    )


def _packaged() -> list[Path]:
    try:
        return [Path(str(file.locate())) for file in files(_FIRMWARE_PACKAGE) or ()]
    except PackageNotFoundError:
        return []


def fvp_command(
    platform: Platform, program: Path, firmware: Path, kind: NpuKind, folder: Path, output_bytes: int
) -> Sequence[str]:
    """The command line: `model` and `inputs` of the folder go in, `outputs` comes out, the UART is on stdout."""
    board = platform.board
    parameters = (
        f"{platform.macs}={kind.npu.macs}",
        f"{board}.telnetterminal0.start_telnet=0",
        f"{board}.uart0.out_file=-",
        f"{board}.uart0.shutdown_on_eot=1",
        f"{board}.visualisation.disable-visualisation=1",
        *platform.further,
    )
    return (
        *(str(program), "-a", str(firmware)),
        *("--data", f"{folder / 'model'}@{MODEL_AT:#x}", "--data", f"{folder / 'inputs'}@{INPUTS_AT:#x}"),
        *("--dump", f"{platform.cpu}={folder / 'outputs'}@Memory:{OUTPUTS_AT:#x},{output_bytes}"),
        *(word for parameter in parameters for word in ("-C", parameter)),
    )


def fvp_environment(program: Path) -> dict[str, str]:
    """The environment: Corstone-320 brings a Python of its own, which its libraries need to be told of."""
    environment = dict(os.environ)
    brought = program.parent / "python"
    if brought.is_dir():
        libraries = (str(brought / "lib"), environment.get("LD_LIBRARY_PATH", ""))
        environment |= {"PYTHONHOME": str(brought), "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}
    return environment

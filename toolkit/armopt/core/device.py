"""A kind of board: what `devices/NAME.toml` and the core file it names say about it. Each figure carries its source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from armopt.core.calibration import Calibration, Kernels
from armopt.core.instructions import CLASS_INDEX
from armopt.core.npu import NpuKind
from armopt.core.records import Record

# QEMU 7.2's `max` has SME, for which runtimes have kernels of their own that none of the modelled cores would run.
EmulatorCpu = Literal[
    "cortex-a35", "cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1", "max,sme=off"
]


class Cpu(Record):
    """The CPU cluster that runs the model."""

    core: str = Field(description="name of the core file, for example 'cortex-a72'")
    cores: int = Field(gt=0)
    freq_mhz: int = Field(gt=0)
    variant: int = Field(ge=0, description="n of rnpm, as /proc/cpuinfo shows it")
    revision: int = Field(ge=0)
    features: tuple[str, ...] = Field(description="'Features' of /proc/cpuinfo: kernels are chosen by them")
    source: str


class Caches(Record):
    """Data caches as one core sees them."""

    l1d_kib: int = Field(gt=0)
    l1d_ways: int = Field(gt=0)
    l2_kib: int = Field(gt=0)
    l2_ways: int = Field(gt=0)
    l2_shared: bool
    l3_kib: int | None = None
    source: str


class Memory(Record):
    """Main memory as one core sees it, and as all do together."""

    copy_gb_s: float = Field(gt=0, description="memcpy rate in GB/s of data copied (each byte is read and written)")
    shared_copy_gb_s: float | None = Field(
        None, gt=0, description="the same of all cores together at most; None: one core reaches what all do"
    )
    latency_ns: float | None = None
    source: str

    def copy_rate(self, threads: int) -> float:
        """GB/s that so many cores copy together."""
        most = self.shared_copy_gb_s or self.copy_gb_s
        return max(self.copy_gb_s, min(threads * self.copy_gb_s, most))


RuntimeName = Literal["litert", "tflite-runtime"]


class Runtime(Record):
    """The inference runtime that figures of this board are for; its version is what the place that runs it has."""

    name: RuntimeName
    kernels: Kernels = Field("xnnpack", description="whose kernels it uses where it can")
    threads: int = Field(1, gt=0)


class Emulator(Record):
    """Which of QEMU's CPUs stands for the core."""

    cpu: EmulatorCpu
    exact: bool = Field(description="false where it is only the nearest of the CPUs that QEMU 7.2 knows")
    source: str


class CoreKind(Record):
    """A CPU core: identity, emulator CPU, timings (reciprocal throughput in cycles per instruction) and calibration."""

    name: str
    title: str
    implementer: int
    part: int
    issue_width: float = Field(
        gt=0,
        description="instructions per cycle that the front end sustains in a loop: decoded, or from a cache of them",
    )
    shared_load_store: bool = Field(False, description="true where one pipe does loads and stores")
    first_pipe: tuple[str, ...] = Field((), description="vector classes that only one of two vector pipes executes")
    second_pipe: tuple[str, ...] = Field((), description="vector classes that only the other one executes")
    channel_step: int = Field(
        8, ge=1, description="output channels that the INT8 kernels of this core's runtime compute at once"
    )
    scheduler: str | None = Field(
        None, description="LLVM's -mcpu whose scheduling model gives a block's cycles; without one, `cycles` give them"
    )
    identity_source: str
    cycles_source: str
    cycles: dict[str, float]
    emulator: Emulator
    calibrations: tuple[Calibration, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _every_class_is_timed(self) -> CoreKind:
        unknown = sorted({*self.cycles, *self.first_pipe, *self.second_pipe} - set(CLASS_INDEX))
        missing = sorted(set(CLASS_INDEX) - set(self.cycles))
        if unknown:
            raise ValueError(f"unknown instruction class {unknown[0]!r}")
        if missing:
            raise ValueError(f"cycles: no figure for instruction class {missing[0]!r}")
        if min(self.cycles.values()) < 0:
            raise ValueError("cycles: a negative figure")
        return self


class BoardFile(Record):
    """The content of `devices/NAME.toml`. `own_calibrations` go before the core's."""

    name: str
    title: str
    family: Literal["cortex-a"]
    isa: str = Field(description="architecture and its extensions, for example 'armv8.0-a'")
    cpu: Cpu
    caches: Caches
    memory: Memory
    runtime: Runtime
    functional: bool = Field(
        False, description="true for the virtual board: its timings are no board's and are never held against a limit"
    )
    own_calibrations: tuple[Calibration, ...] = ()


class BoardKind(BoardFile):
    """A board file joined with the core that it names, and with what the user's own board was found to do."""

    core: CoreKind
    user_calibrations: tuple[Calibration, ...] = ()

    @property
    def calibrations(self) -> tuple[Calibration, ...]:
        """The calibrations that hold for this board: the user's, then the kind's own, then its core's."""
        return self.user_calibrations + self.own_calibrations + self.core.calibrations

    @property
    def channel_step(self) -> int:
        """Channels are kept in multiples of this where a model is made narrower."""
        return self.core.channel_step

    def running(self, runtime: RuntimeName | None = None, kernels: Kernels | None = None) -> BoardKind:
        """The same kind of board with another runtime, or other kernels of it."""
        asked = {"name": runtime, "kernels": kernels}
        changed = self.runtime.model_copy(update={key: value for key, value in asked.items() if value is not None})
        return self.model_copy(update={"runtime": changed})

    def cpuinfo(self) -> str:
        """The text of /proc/cpuinfo on an arm64 kernel, as far as runtimes read it (one paragraph per core)."""
        paragraph = (
            "processor\t: {index}\nBogoMIPS\t: 108.00\n"
            f"Features\t: {' '.join(self.cpu.features)}\nCPU implementer\t: {self.core.implementer:#04x}\n"
            f"CPU architecture: 8\nCPU variant\t: {self.cpu.variant:#x}\nCPU part\t: {self.core.part:#05x}\n"
            f"CPU revision\t: {self.cpu.revision}\n\n"
        )
        return "".join(paragraph.format(index=index) for index in range(self.cpu.cores))


Kind = BoardKind | NpuKind
"""Whatever `--device` can name."""

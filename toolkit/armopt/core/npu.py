"""An Ethos-U beside a Cortex-M: what `devices/NAME.toml` says of it, and what its compiler estimates of a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from armopt.core.record import Record

Accelerator = Literal[
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
]

NpuBound = Literal["mac", "weights", "activations"]
"""What takes an operator's time: multiplying, reading constants, or making, moving and writing activations."""


class Npu(Record):
    """The accelerator."""

    accelerator: Accelerator = Field(description="Vela's --accelerator-config")
    macs: int = Field(gt=0, description="multiply-accumulates of INT8 in one cycle")
    channel_step: int = Field(gt=0, description="output channels that it computes at once: depth of its output block")
    source: str


class NpuSystem(Record):
    """The memories around it, in the words of a vela.ini, and its clock."""

    system_config: str = Field(description="a section System_Config.NAME of the vela.ini")
    memory_mode: str = Field(description="a section Memory_Mode.NAME of the vela.ini")
    clock_mhz: float = Field(gt=0, description="core_clock of that system configuration")
    arena_limit_bytes: int = Field(gt=0, description="SRAM that the compiler may plan with: Vela's --arena-cache-size")
    vela_ini: str | None = Field(None, description="path of the user's own vela.ini; None: Vela's Arm/vela.ini")
    source: str


class NpuKind(Record):
    """The content of `devices/NAME.toml` for an Ethos-U."""

    name: str
    title: str
    family: Literal["ethos-u"]
    npu: Npu
    system: NpuSystem

    @property
    def channel_step(self) -> int:
        """Channels are kept in multiples of this where a model is made narrower."""
        return self.npu.channel_step


class NpuLayer(Record):
    """One operator of the .tflite as Vela estimates it. Cycles of units overlap; the slowest unit binds.

    Operators that take no time of their own (a reshape, a fused activation) have no layer.
    """

    index: int | None = Field(description="position in the .tflite; None where Vela made the operator up")
    kind: str = Field(description="for example CONV_2D")
    name: str = Field("", description="of its output tensor")
    shape: tuple[int, ...] = Field((), description="of its output")
    on_cpu: bool = Field(False, description="the Cortex-M runs it, at a cost that Vela does not estimate")
    cycles: int = Field(description="of the NPU; 0 on the CPU")
    share: float = Field(description="of the NPU's cycles for one inference")
    mac_cycles: int = Field(description="multiplying")
    weight_cycles: int = Field(description="bringing weights, scales and biases from their memory")
    scale_cycles: int = Field(description="of these: scales and biases, which zeros and codes do not shorten")
    activation_cycles: int = Field(description="reading, making and writing activations, the slowest of these")
    macs: int
    encoded_weight_bytes: int = Field(description="its weights in the compressed stream; 0 where it has none")
    bound: NpuBound | None = Field(description="None on the CPU")
    winnable_cycles: int = Field(0, description="that shorter weight streams can save at most: then another unit binds")
    advice: str = Field("", description="what would make it faster")


class NpuEstimate(Record):
    """Vela's estimate of one inference: the NPU's part, that is. Its error is not known (docs/adr/023-ethos-u.md)."""

    accelerator: str
    system_config: str
    memory_mode: str
    clock_mhz: float
    encoded_weight_bytes: int = Field(description="weights in the compressed stream that the NPU reads")
    original_weight_bytes: int = Field(description="the same weights in the .tflite")
    cycles: int = Field(description="of the NPU's part of one inference")
    cycles_by_unit: dict[str, int] = Field(
        default_factory=dict, description="npu, sram, dram, flash: cycles that each was at work; they overlap"
    )
    traffic_bytes: dict[str, int] = Field(
        default_factory=dict, description="sram, dram, flash: bytes that cross each in one inference"
    )
    sram_bytes: int = Field(description="SRAM that the model takes, without the firmware and its runtime")
    flash_bytes: int | None = Field(description="flash that its constants take; None where they lie in DRAM")
    dram_bytes: int | None = Field(None, description="DRAM that the model takes; None where the system has none")
    arena_bytes: int = Field(0, description="of activations, wherever they lie: for the firmware's tensor arena")
    macs: int = Field(0, description="of one inference, padding included")
    fallback_ops: tuple[str, ...] = Field(description="operators that the Cortex-M runs, which is not estimated")
    bound: NpuBound | None = Field(description="what binds most of the cycles; None where the NPU does nothing")
    bound_shares: dict[NpuBound, float] = Field(default_factory=dict, description="share of the cycles that each binds")
    winnable_share: float = Field(
        0.0, description="of the cycles that more zeros or fewer codes can save at most, before other units bind"
    )
    advice: str = Field("", description="what would make it faster, in a sentence")

    @property
    def fallback_words(self) -> str:
        """The operators on the CPU: 'SIN, 2 QUANTIZE'."""
        kinds = dict.fromkeys(self.fallback_ops)
        counts = {kind: self.fallback_ops.count(kind) for kind in kinds}
        return ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in counts.items())

    @property
    def npu_ms(self) -> float:
        """Milliseconds of the NPU's part."""
        return self.cycles / (self.clock_mhz * 1e3)

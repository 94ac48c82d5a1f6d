"""An Ethos-U with figures that tests can change, and a report as Vela writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from armopt.core.npu import Npu, NpuEstimate, NpuKind, NpuSystem
from armopt.core.npu_operation import NpuOperation
from armopt.core.records import Latency, Measurement

KIND = NpuKind(
    name="some-npu",
    title="An NPU",
    family="ethos-u",
    npu=Npu(accelerator="ethos-u55-128", macs=128, channel_step=8, source="a test"),
    system=NpuSystem(
        system_config="Ethos_U55_High_End_Embedded",
        memory_mode="Shared_Sram",
        clock_mhz=500,
        arena_limit_bytes=2 << 20,
        source="a test",
    ),
)


def estimate(**figures: Any) -> NpuEstimate:
    """A millisecond, all on the NPU, unless told otherwise."""
    given: dict[str, Any] = {
        "accelerator": "ethos-u55-128",
        "system_config": "Ethos_U55_High_End_Embedded",
        "memory_mode": "Shared_Sram",
        "clock_mhz": 500.0,
        "encoded_weight_bytes": 40_000,
        "original_weight_bytes": 50_000,
        "cycles": 500_000,
        "sram_bytes": 100_000,
        "flash_bytes": 60_000,
        "fallback_ops": (),
        "bound": "weights",
        "bound_shares": {"weights": 0.75, "mac": 0.25},
    }
    return NpuEstimate(**{**given, **figures})


def measured(**figures: Any) -> Measurement:
    npu = estimate(**figures)
    known = bool(npu.cycles) and not npu.fallback_ops
    return Measurement(
        device="some-npu", runner="vela", evidence="estimated", runtime="vela 5.2.0", threads=1, freq_mhz=500,
        seconds=0.1,
        latency_ms=Latency(p50=npu.npu_ms) if known else None,
        interval_ms=(npu.npu_ms, npu.npu_ms) if known else None, npu=npu,
    )  # fmt: skip


def operation(**figures: Any) -> NpuOperation:
    """A convolution that waits for its weights."""
    given: dict[str, Any] = {
        "source": 0, "operation": "Conv2D", "kind": "Conv2D", "name": "out", "cycles": 100, "mac_cycles": 60,
        "weight_cycles": 100, "scale_cycles": 10, "activation_cycles": 20, "macs": 6_400, "weight_bytes": 90,
    }  # fmt: skip
    return NpuOperation(**{**given, **figures})


def database(tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[object]]]]) -> str:
    """Vela's debug database (ethosu/vela/stats_writer.py, `write_regor_db`): numbers bare, all else between quotes."""
    text = "<?xml version='1.0' encoding='UTF-8'?>\n<debug source=\"model\">\n"
    for name, (columns, rows) in tables.items():
        lines = [",".join(f'"{column}"' for column in columns)]
        lines += [",".join(str(v) if str(v).isnumeric() else f'"{v}"' for v in row) for row in rows]
        text += f'<table name="{name}">\n<![CDATA[\n' + "\n".join(lines) + "\n]]>\n</table>\n"
    return text + "</debug>\n"

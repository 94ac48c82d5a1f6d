"""One artifact on one Ethos-U -> a Measurement: what its compiler estimates and what binds, or what an FVP counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armopt.compress.data import Array
from armopt.compress.graph_file import read_operators
from armopt.core.npu import NpuEstimate, NpuKind, NpuLayer
from armopt.core.records import Latency, Measurement
from armopt.latency.npu_bounds import bound_shares, model_advice, npu_layers, winnable_share
from armopt.runners.base import Say
from armopt.runners.comparison import compare
from armopt.runners.ethosu.compiled_file import constant_bytes
from armopt.runners.ethosu.fvp import TIMEOUT_S, simulate
from armopt.runners.ethosu.vela import Compiled, compile_for
from armopt.runners.samples import on_this_machine

# Raised whenever the same report would give another estimate.
REVISION = 1
_NO_ERROR = "Vela gives a figure without an error, of the NPU alone; take it to compare models on one device"
_COUNTED = "NPU cycles that the FVP's counters told, of one inference; what its CPU takes is not known"
_NO_LATENCY = "Vela does not estimate what the Cortex-M takes for the operators that it runs"


@dataclass(frozen=True)
class Estimated:
    """An estimate and what was compiled for it.

    Attributes:
        measurement: the figures.
        model: the compiled .tflite, for firmware.
    """

    measurement: Measurement
    model: bytes


def estimate(artifact: Path, kind: NpuKind) -> Estimated:
    """Compile `artifact` for an NPU and say what one inference costs there. It is not run.

    Args:
        artifact: any .tflite, whoever made it.
        kind: the NPU and the system around it.

    Raises:
        UsageError: no such file, or the kind's vela.ini is wrong.
        DeviceError: Vela is missing, or rejects the model.
    """
    began = time.monotonic()
    compiled = compile_for(artifact, kind)
    graph = read_operators(artifact)
    layers = npu_layers(compiled.report.operations, graph, kind.npu.macs, compiled.warnings)
    found = _estimate(compiled, kind, layers)
    known = bool(found.cycles) and not found.fallback_ops
    measurement = Measurement(
        device=kind.name,
        runner="vela",
        evidence="estimated",
        runtime=f"vela {compiled.version} ({kind.system.system_config}, {kind.system.memory_mode})",
        threads=1,
        freq_mhz=round(kind.system.clock_mhz),
        latency_ms=Latency(p50=found.npu_ms) if known else None,
        interval_ms=(found.npu_ms, found.npu_ms) if known else None,
        interval_source=_NO_ERROR if known else _NO_LATENCY,
        cycles=found.cycles,
        npu=found,
        npu_layers=layers,
        seconds=round(time.monotonic() - began, 3),
    )
    return Estimated(measurement, compiled.model)


def _estimate(compiled: Compiled, kind: NpuKind, layers: tuple[NpuLayer, ...]) -> NpuEstimate:
    report = compiled.report
    shares, winnable = bound_shares(layers), winnable_share(layers)
    return NpuEstimate(
        accelerator=kind.npu.accelerator,
        system_config=kind.system.system_config,
        memory_mode=kind.system.memory_mode,
        clock_mhz=kind.system.clock_mhz,
        encoded_weight_bytes=report.encoded_weight_bytes,
        original_weight_bytes=report.original_weight_bytes,
        cycles=report.cycles,
        cycles_by_unit=report.cycles_by_unit,
        traffic_bytes=report.traffic_bytes,
        sram_bytes=report.sram_bytes,
        flash_bytes=report.flash_bytes,
        dram_bytes=report.dram_bytes,
        arena_bytes=report.arena_area_bytes - (constant_bytes(compiled.model) if report.constants_in_arena else 0),
        macs=report.macs,
        fallback_ops=tuple(layer.kind for layer in layers if layer.on_cpu),
        bound=next(iter(shares), None),
        bound_shares=shares,
        winnable_share=winnable,
        advice=model_advice(shares, winnable),
    )


def simulate_on_fvp(artifact: Path, kind: NpuKind, *, say: Say, timeout_s: float = TIMEOUT_S) -> Measurement:
    """Run one inference on Arm's FVP: NPU cycles by its counters, and outputs beside this machine's.

    What the CPU of the FVP takes is not told: that model is not cycle-accurate.

    Args:
        artifact: any .tflite.
        kind: the NPU.
        say: gets progress.
        timeout_s: for the run.

    Raises:
        UsageError: no such file.
        DeviceError: Vela rejects the model, FVP or firmware is missing, or the run failed.
    """
    began = time.monotonic()
    made = estimate(artifact, kind)
    npu = made.measurement.npu
    assert npu is not None
    inputs, expected = on_this_machine(artifact, None, None, say)
    first = [np.asarray(array[:1]) for array in expected]
    run = simulate(
        made.model,
        b"".join(array[:1].tobytes() for array in inputs),
        sum(array.nbytes for array in first),
        kind,
        say=say,
        timeout_s=timeout_s,
    )
    equal, difference = compare(_cut(run.outputs, first), first, [0.0] * len(first))
    counted = npu.model_copy(update={"cycles": run.cycles, "cycles_by_unit": {}})
    known = not npu.fallback_ops
    return made.measurement.model_copy(
        update={
            "runner": "fvp",
            "runtime": f"{run.program.name}, {made.measurement.runtime}",
            "latency_ms": Latency(p50=counted.npu_ms) if known else None,
            "interval_ms": (counted.npu_ms, counted.npu_ms) if known else None,
            "interval_source": _COUNTED if known else _NO_LATENCY,
            "cycles": run.cycles,
            "npu": counted,
            "npu_layers": None,  # the FVP counts the whole
            "outputs_compared": 1,
            "outputs_equal": equal,
            "output_difference": difference,
            "environment": {
                "firmware": run.firmware.parent.name,
                **{name: str(value) for name, value in run.counters.items()},
            },
            "seconds": round(time.monotonic() - began, 3),
        }
    )


def _cut(content: bytes, like: list[Array]) -> list[Array]:
    """Outputs that lie one after the other, as arrays of these types and shapes."""
    arrays, start = [], 0
    for array in like:
        part = content[start : start + array.nbytes]
        arrays.append(np.frombuffer(part, array.dtype).reshape(array.shape))
        start += array.nbytes
    return arrays

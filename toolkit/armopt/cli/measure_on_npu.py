"""`armopt measure` for an Ethos-U: compiled and estimated, or simulated for the cycles of the NPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.cli.output import say
from armopt.core.errors import UsageError

if TYPE_CHECKING:
    from armopt.core.records import Measurement
    from armopt.placing import NpuPlace, Place


def check_npu_options(place: Place | NpuPlace, fvp: bool, **others: Any) -> None:
    """Refuse options that say nothing of the place.

    Args:
        place: where the model is measured.
        fvp: whether a simulated NPU was asked for.
        others: options for processors that run a runtime, by name; None where not given.

    Raises:
        UsageError: one of them was given for an NPU, or an FVP for a board.
    """
    from armopt.placing import NpuPlace

    if not isinstance(place, NpuPlace):
        if fvp:
            raise UsageError("--fvp simulates an Ethos-U", "name one with --device")
        return
    for name, value in others.items():
        if value is not None:
            raise UsageError(f"--{name} says nothing of {place.kind.name}", "leave it out")


def measure_on_npu(place: NpuPlace, model: Path, fvp: bool) -> Measurement:
    """Vela's estimate of the model, or what Arm's FVP counts.

    Raises:
        UsageError: there is no such file.
        DeviceError: Vela is missing or rejects the model; the FVP is missing or failed.
    """
    from armopt.npu_measuring import estimate, simulate_on_fvp

    return simulate_on_fvp(model, place.kind, say=say) if fvp else estimate(model, place.kind).measurement

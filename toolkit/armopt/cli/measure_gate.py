"""What `armopt measure` holds against a baseline, and what it tells CI systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from armopt.cli.output import chatter_to_stderr

if TYPE_CHECKING:
    from armopt.cli.gate_options import Gate
    from armopt.core.calibration import Kernels
    from armopt.core.comparison_record import Comparison
    from armopt.core.device import RuntimeName
    from armopt.core.gate import Judgement
    from armopt.core.records import Measurement
    from armopt.core.subject import Setting, Subject
    from armopt.placing import NpuPlace, Place


def setting_to_come(
    place: Place | NpuPlace,
    threads: tuple[int, ...] | None,
    freq_mhz: int | None,
    runtime: RuntimeName | None,
    kernels_asked: Kernels | None,
) -> Setting:
    """How the figures will come about, as far as that is known before anything runs."""
    from armopt.core.subject import Setting
    from armopt.placing import NpuPlace

    if isinstance(place, NpuPlace):
        return Setting(device=place.kind.name, evidence="estimated", threads=1)
    kind = place.kind.running(runtime, kernels_asked)
    number = threads[0] if threads else kind.runtime.threads
    if place.hosts:
        return Setting(device=kind.name, evidence="functional" if kind.functional else "measured", threads=number)
    clock = freq_mhz or kind.cpu.freq_mhz
    kernels = kind.runtime.kernels
    return Setting(device=kind.name, evidence="modelled", threads=number, kernels=kernels, freq_mhz=clock)


def subject_of(model: Path, found: Measurement) -> Subject:
    """The measurement and the file's size, to be held against a baseline."""
    from armopt.comparing import subject_of_measurement

    with chatter_to_stderr():
        from armopt.compress.audit import audit

        return subject_of_measurement(model.stem, found, audit(model).gz_bytes)


def report(gate: Gate, model: Path, found: Measurement, judgement: Judgement, comparison: Comparison | None) -> None:
    """Write the files that CI systems show, if they were asked for."""
    from armopt.show.junit import junit_of_measurement
    from armopt.show.markdown import markdown_of_measurement

    told = (model.stem, found, judgement, comparison)
    gate.write(lambda: junit_of_measurement(*told), lambda: markdown_of_measurement(*told))

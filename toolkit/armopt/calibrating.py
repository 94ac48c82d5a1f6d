"""Timings of a user's own board -> the latency model's coefficients for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from armopt.calibration_timing import shapes
from armopt.catalog.calibrations import UserCalibrations, write_user_calibrations
from armopt.core.calibration import Calibration, Numbers, Terms, choose
from armopt.core.device import BoardKind, RuntimeName
from armopt.core.errors import UsageError
from armopt.core.timings import BoardTimings, ProbeTiming, shape_of
from armopt.latency.features import Features, features_of
from armopt.latency.refine import Refined, Timed, refine, summarise
from armopt.runners.base import Job, Say, make_runner
from armopt.runners.local import LocalRunner
from armopt.runners.samples import random_inputs

# Further off than that a timing is of another board, another unit, or a machine that was busy with something else.
_ABSURD = (0.2, 5.0)
# Clocks are read just after timing, and differ a little by themselves.
_SAME_CLOCK, _STEADY_CLOCK = 0.03, 0.05


@dataclass(frozen=True)
class Calibrated:
    """What a calibration found: one `Refined` for each way of running, with what it started from and was fitted on.

    `notes` are sentences on the timings that a reader should know.
    """

    device: str
    runtime: str
    notes: tuple[str, ...]
    parts: tuple[tuple[Calibration, tuple[Timed, ...], Refined], ...]
    calibrations: tuple[Calibration, ...]
    path: Path


def calibrate(
    device: BoardKind, timings: BoardTimings, *, anyway: bool = False, say: Say, offline: bool = False
) -> Calibrated:
    """Fit the board kind's coefficients to a board's timings and keep them for this user.

    Args:
        device: the kind; what the user calibrated before does not count.
        timings: of the shapes that `export_shapes` writes.
        anyway: take timings that are far from what the kind's coefficients say.
        say: gets progress.
        offline: never fetch anything.

    Raises:
        UsageError: timings of another kind, another CPU, other shapes, or absurd ones.
        DeviceError: the emulator is missing or failed.
    """
    _check_board(device, timings)
    name: RuntimeName = "tflite-runtime" if timings.runtime.startswith("tflite-runtime") else "litert"
    kind = device.model_copy(update={"user_calibrations": ()}).running(name, timings.kernels)
    features, counted = _features(kind, timings, say=say, offline=offline)
    parts = _refined(kind, timings, features)
    if not anyway:
        _refuse_absurd(parts)
    today = datetime.now(UTC).date().isoformat()
    calibrations = tuple(
        _calibration(base, timed, found, f"{timings.runtime} on your {device.name}, {today}")
        for base, timed, found in parts
    )
    path = write_user_calibrations(
        UserCalibrations(
            device=device.name, core=device.core.name, runtime=timings.runtime, date=today,
            timings=len(timings.timings), calibrations=calibrations,
        )
    )  # fmt: skip
    return Calibrated(device.name, timings.runtime, _notes(device, timings, counted), parts, calibrations, path)


def _refined(
    kind: BoardKind, timings: BoardTimings, features: Mapping[str, Features]
) -> tuple[tuple[Calibration, tuple[Timed, ...], Refined], ...]:
    """One fit for each way of running that was timed. What each starts from says what it holds for.

    The clock is the kind's, not the board's: figures are asked for without a clock as a rule, and then have to be right
    for this board. Terms that the clock moves make up for the difference.
    """
    grouped: dict[Calibration, list[Timed]] = {}
    for timing in timings.timings:
        one, threads = features[timing.probe], timing.threads
        base = choose(kind.calibrations, one.kernels, one.numbers, threads)
        # Where the nearest calibration is of other kernels, or of one thread and several: this one shall not be.
        first, last = base.threads
        held = (1, 1) if threads == 1 else (max(2, min(first, threads)), max(last, threads))
        way = base.model_copy(update={"kernels": one.kernels, "numbers": _numbers(base, one), "threads": held})
        units = one.design(kind, threads=threads, freq_mhz=kind.cpu.freq_mhz).sum(axis=0)
        timed = summarise(timing.probe, shape_of(timing.probe), units.tolist(), timing.raw_ms)
        grouped.setdefault(way, []).append(timed)
    return tuple((way, tuple(timed), refine(timed, way)) for way, timed in grouped.items())


def _numbers(base: Calibration, one: Features) -> tuple[Numbers, ...]:
    return base.numbers if one.numbers in base.numbers else (one.numbers,)


def _notes(device: BoardKind, timings: BoardTimings, counted: str) -> tuple[str, ...]:
    notes = []
    if timings.runtime != counted:
        notes.append(f"your board ran {timings.runtime}, instructions are {counted}'s: the terms make up for both")
    lowest, highest, own = timings.lowest_mhz, timings.highest_mhz, device.cpu.freq_mhz
    if highest is not None and abs(highest / own - 1) > _SAME_CLOCK:
        notes.append(
            f"your board ran at {highest:.0f} MHz, {device.name} has {own}: the terms make up for it, so give no --freq"
        )
    if lowest is not None and highest is not None and lowest < (1 - _STEADY_CLOCK) * highest:
        governor = f"governor {timings.governor}" if timings.governor else "governor unknown"
        notes.append(f"the clock was between {lowest:.0f} and {highest:.0f} MHz ({governor}): heat, or power saving")
    return tuple(notes)


def _check_board(device: BoardKind, timings: BoardTimings) -> None:
    if timings.device != device.name:
        raise UsageError(f"the timings are for {timings.device!r}, not {device.name!r}", "give the kind they are for")
    if timings.machine != "aarch64":
        raise UsageError(f"the timings are of a {timings.machine} machine", "run measure.py on the board")
    wanted = (device.core.implementer, device.core.part)
    others = {(cpu.implementer, cpu.part) for cpu in timings.cpus} - {wanted}
    if others or not timings.cpus:
        seen = ", ".join(f"{part:#05x}" for _, part in sorted(others)) or "none that it told"
        raise UsageError(
            f"the timings ran on CPU part {seen}, {device.name} has {device.core.part:#05x} ({device.core.title})",
            "give the kind of the board that they are of",
        )
    most = max(timing.threads for timing in timings.timings)
    if most > device.cpu.cores:
        raise UsageError(
            f"the timings are of {most} threads, {device.name} has {device.cpu.cores} cores", "give the board's kind"
        )


def _features(kind: BoardKind, timings: BoardTimings, *, say: Say, offline: bool) -> tuple[dict[str, Features], str]:
    """The shapes as the emulated board runs them, and its runtime; UsageError where the board ran other files."""
    wanted, made = {timing.probe: timing for timing in timings.timings}, shapes(say)
    for name, timing in wanted.items():
        _check_file(name, timing, made.get(name))
    paths = [made[name] for name in wanted]
    with closing(LocalRunner(say)) as host:
        inputs = [random_inputs(host.describe(path), count=1) for path in paths]
    with closing(make_runner("qemu", kind, say=say, offline=offline)) as runner:
        runner.prepare()
        delegate = kind.runtime.kernels == "xnnpack"
        jobs = [Job(path, x, count=True, delegate=delegate) for path, x in zip(paths, inputs, strict=True)]
        results = runner.run(jobs)
    found = {}
    for name, result in zip(wanted, results, strict=True):
        assert result.counts is not None
        found[name] = features_of(result.counts, kind)
    return found, results[0].environment["runtime"]


def _check_file(name: str, timing: ProbeTiming, path: Path | None) -> None:
    if path is None:
        raise UsageError(f"the timings are of a shape {name!r} that armopt does not have", "export the shapes again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != timing.sha256:
        raise UsageError(f"the board ran another {name}.tflite than this armopt makes", "export the shapes again")


def _refuse_absurd(parts: Sequence[tuple[Calibration, tuple[Timed, ...], Refined]]) -> None:
    for _, timed, found in parts:
        for one, before in zip(timed, found.before_ms, strict=True):
            if not _ABSURD[0] <= one.measured_ms / before <= _ABSURD[1]:
                raise UsageError(
                    f"{one.name} took {one.measured_ms:.3g} ms, the model says {before:.3g}",
                    "see what else the board was doing, or take it with --anyway",
                )


def _calibration(base: Calibration, timed: Sequence[Timed], found: Refined, where: str) -> Calibration:
    terms = dict(zip(Terms.model_fields, found.terms, strict=True))
    return base.model_copy(
        update={
            **terms,
            "low": 1 / found.factor,
            "high": found.factor,
            "rows": len(timed),
            "source": f"{len(timed)} timings, {where}; before: {base.source}",
            "interval_source": f"your own calibration ({len(timed)} timings, {where}): {found.reason}",
        }
    )

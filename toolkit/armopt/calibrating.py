"""A user's own board -> the latency model's coefficients for it: exports shapes to time there, fits what comes back."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from armopt.catalog.calibrations import UserCalibrations, write_user_calibrations
from armopt.catalog.search_path import cache_dir
from armopt.core.calibration import Calibration, Terms, choose
from armopt.core.device import BoardKind, RuntimeName
from armopt.core.errors import DeviceError, UsageError
from armopt.core.timings import BoardTimings, ProbeTiming, shape_of
from armopt.latency.features import Features, features_of
from armopt.latency.refine import Refined, Timed, refine, summarise
from armopt.measuring import random_inputs
from armopt.runners.agent_job import AGENT
from armopt.runners.base import Job, Say, make_runner
from armopt.runners.local import LocalRunner

DRIVER = AGENT.with_name("measure.py")
_README = """Shapes that armopt times to calibrate its latency model for {device}.
1. Copy this folder to the board (scp -r) and run there: python3 measure.py   (needs numpy and {runtime}; some minutes)
2. Bring timings.json back, then: armopt devices calibrate --device {device} --timings timings.json
"""
_LARGEST_FILE = 16 << 20
# Further off than that a timing is of another board, another unit, or a machine that was busy with something else.
_ABSURD = (0.2, 5.0)


@dataclass(frozen=True)
class Calibrated:
    """What a calibration found: one `Refined` for each way of running, with what it started from and was fitted on."""

    device: str
    runtime: str
    freq_mhz: int
    parts: tuple[tuple[Calibration, tuple[Timed, ...], Refined], ...]
    calibrations: tuple[Calibration, ...]
    path: Path


def export_shapes(device: BoardKind, folder: Path, *, say: Say) -> None:
    """Write the shapes, what times them and how to go on into a new or empty folder.

    Raises:
        UsageError: the folder holds something.
        ConversionError, StoreError: a shape could not be made or written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"'{folder}' is not empty", "name a new folder")
    made = _shapes(say)
    folder.mkdir(parents=True, exist_ok=True)
    for source in (*made.values(), AGENT, DRIVER):
        shutil.copy(source, folder / source.name)
    asked = {
        "device": device.name,
        "implementer": device.core.implementer,
        "part": device.core.part,
        "kernels": device.runtime.kernels,
        "threads": sorted({1, device.cpu.cores}),
        "probes": list(made),
    }
    (folder / "probes.json").write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
    text = _README.format(device=device.name, runtime=device.runtime.name)
    (folder / "README").write_text(text, encoding="utf-8")


def time_here(device: BoardKind, *, say: Say) -> BoardTimings:
    """Time the shapes on this machine, which is a board of the kind. Raises DeviceError where it is no aarch64."""
    if platform.machine() != "aarch64":
        raise DeviceError(f"this machine is {platform.machine()}, not aarch64", "use --export, on the board measure.py")
    with tempfile.TemporaryDirectory(prefix="armopt-calibrate-") as scratch:
        folder = Path(scratch, "shapes")
        export_shapes(device, folder, say=say)
        done = subprocess.run([sys.executable, str(folder / DRIVER.name)], check=False)
        if done.returncode:
            raise DeviceError("the shapes could not be timed", "see the lines above")
        return read_timings(folder / "timings.json")


def read_timings(path: Path) -> BoardTimings:
    """What measure.py wrote. Raises UsageError: unreadable, too large, or not such a file."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"{path}: larger than {_LARGEST_FILE >> 20} MB", "give the timings.json of measure.py")
        return BoardTimings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})", "check the path") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path}: {where}: {first['msg']}", "give the timings.json of measure.py") from error


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
    freq_mhz = round(timings.highest_mhz or device.cpu.freq_mhz)
    features = _features(kind, timings, say=say, offline=offline)
    grouped: dict[int, tuple[Calibration, list[Timed]]] = {}
    for timing in timings.timings:
        one = features[timing.probe]
        base = choose(kind.calibrations, one.kernels, one.numbers, timing.threads)
        units = one.design(kind, threads=timing.threads, freq_mhz=freq_mhz).sum(axis=0)
        timed = summarise(timing.probe, shape_of(timing.probe), units.tolist(), timing.raw_ms)
        grouped.setdefault(id(base), (base, []))[1].append(timed)
    parts = tuple((base, tuple(timed), refine(timed, base)) for base, timed in grouped.values())
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
    return Calibrated(device.name, timings.runtime, freq_mhz, parts, calibrations, path)


def _shapes(say: Say) -> dict[str, Path]:
    """The shapes by name, made on first use (half a minute) and kept in the cache."""
    from armopt.compress import probes
    from armopt.compress.backend import tf

    key = hashlib.sha256(f"{Path(probes.__file__).read_text(encoding='utf-8')} {tf.__version__}".encode())
    kept = cache_dir() / "shapes" / key.hexdigest()[:12]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{kept}.lock"), tempfile.TemporaryDirectory(dir=kept.parent, prefix="making-") as scratch:
        if not kept.is_dir():
            fresh = Path(scratch, "shapes")
            fresh.mkdir()
            list(probes.write_probes(fresh, say))
            fresh.rename(kept)
    return {path.stem: path for path in sorted(kept.glob("*.tflite"))}


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


def _features(kind: BoardKind, timings: BoardTimings, *, say: Say, offline: bool) -> dict[str, Features]:
    """The shapes as the emulated board runs them; UsageError where the board ran other files."""
    wanted, made = {timing.probe: timing for timing in timings.timings}, _shapes(say)
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
    return found


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

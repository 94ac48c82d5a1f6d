"""The device of a deployment: emulated, boards that are held, or an NPU; and the chosen model made ready for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from armopt.boards import Boards
from armopt.core.errors import DeviceError, UsageError
from armopt.core.events import Doing, Listener, Note
from armopt.core.stopping import Claim
from armopt.core.target import Target
from armopt.delivery import deliver_firmware
from armopt.npu_measuring import estimate
from armopt.placing import NpuPlace, Place
from armopt.preparing import Ready
from armopt.runners.base import Say
from armopt.runners.ssh.installing import Installed
from armopt.runners.ssh.installing import install as install_on
from armopt.runners.ssh.runner import BoardRunner
from armopt.search.board_runs import BoardRuns
from armopt.search.device_runs import DeviceRuns
from armopt.search.npu_runs import NpuRuns
from armopt.search.runs import Runs
from armopt.search.store import Store

DELIVERED = ("model.tflite", "run_model.py", "result.json")


@contextlib.contextmanager
def stationed(
    place: Place | NpuPlace,
    ready: Ready,
    target: Target,
    threads: int,
    rounds: int,
    offline: bool,
    store: Store,
    listener: Listener,
) -> Iterator[Runs]:
    """What the run's leaves run on; boards are made ready before anything is trained, and given back at the end.

    On boards a leaf is timed in at least `rounds` processes.

    Raises:
        DeviceError: no board can be used.
    """
    if isinstance(place, NpuPlace):
        if threads != 1:
            raise UsageError(f"{place.kind.name} has no threads to choose", "leave out --threads")
        yield NpuRuns(place.kind, ready.task, store, listener)
        return
    if not place.hosts:
        yield DeviceRuns(place.kind, ready.data, ready.task, threads, offline, store, listener)
        return
    claim = Claim(limit_ms=target.max_latency_ms, percentile=target.percentile, least_rounds=rounds)
    with contextlib.closing(boards_of(place, offline, listener)) as boards:
        boards.prepare()
        yield BoardRuns(boards, ready.data, ready.task, claim, threads, store, listener)


def boards_of(place: Place, offline: bool, listener: Listener) -> Boards:
    """The boards of a place; their progress is told as what is being done."""
    return Boards(place.hosts, place.kind, say=_doing(listener), offline=offline, here=place.here)


def install(
    place: Place | NpuPlace, model: str, chosen: str | None, folder: Path, offline: bool, listener: Listener
) -> tuple[Installed, ...]:
    """Install what was delivered on each board of the run, and say how to run it there; compile it for an NPU.

    Raises:
        DeviceError: it could be installed on none of them.
    """
    if chosen is None:
        return ()
    if isinstance(place, NpuPlace):
        made = estimate(folder / "model.tflite", place.kind)
        deliver_firmware(folder, made.model, made.measurement)
        return ()
    files = {name: folder / name for name in DELIVERED}
    done: list[Installed] = []
    failed: list[DeviceError] = []
    for host in place.hosts:
        say = _doing(listener)
        with contextlib.closing(BoardRunner(host, place.kind, say=say, offline=offline, here=place.here)) as runner:
            try:
                runner.prepare()
                done.append(install_on(runner.board, runner.setup, model, files))
            except DeviceError as error:
                failed.append(error)
                listener(Note(f"not installed: {error}"))
                continue
        state = f"version {done[-1].version}" + ("" if done[-1].new else ", which was there")
        listener(Note(f"installed on {host.name} as {state}; run there: {done[-1].folder}/run INPUT.npy"))
    if failed and not done:
        raise failed[-1]
    return tuple(done)


def _doing(listener: Listener) -> Say:
    return lambda text: listener(Doing(text))

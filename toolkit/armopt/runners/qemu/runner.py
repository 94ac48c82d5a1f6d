"""The emulated board: qemu-aarch64 runs the agent with the board's kernels and counts one inference's instructions.

The time that emulation takes says nothing of the board and is not reported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from armopt.core.device import BoardKind
from armopt.core.errors import UsageError
from armopt.core.records import Evidence, RunnerName
from armopt.runners.agent_job import AGENT, follow, read_outputs, write_jobs
from armopt.runners.base import Job, RunResult, Say
from armopt.runners.qemu.counts import Loaded, read_counts
from armopt.runners.qemu.plugin import ensure_plugin, qemu_version
from armopt.runners.qemu.symbols import Symbols
from armopt.runners.qemu.sysroot import ensure_board_root, package_versions, read_lock, site_of

# Where operators start: XNNPACK's loop calls the first for each of its own, TFLite the second for all; where that was
# inlined, the third calls them by their pointers.
DELEGATE_OPERATOR = "xnn_run_operator_with_index"
RUNTIME_OPERATOR = "_ZN6tflite8Subgraph8OpInvokeERK18TfLiteRegistrationP10TfLiteNode"
INTERPRETER_LOOP = "_ZN6tflite8Subgraph10InvokeImplEv"
L3_WAYS = 16


class QemuRunner:
    """Runs models on an emulated core of one kind of board."""

    name: RunnerName = "qemu"
    evidence: Evidence = "modelled"

    def __init__(self, device: BoardKind, *, say: Say, offline: bool) -> None:
        self._device = device
        self._say = say
        self._offline = offline
        self._folder = tempfile.TemporaryDirectory(prefix="armopt-qemu-")
        self._root: Path | None = None
        self._plugin: Path | None = None

    def prepare(self) -> None:
        """Build what the cache lacks: the system, the board's view of it, the plugin.

        Raises:
            DeviceError: a program is missing, a build failed, or `offline` and the cache is empty.
        """
        if self._root is None:
            self._plugin = ensure_plugin(say=self._say)
            self._root = ensure_board_root(self._device, say=self._say, offline=self._offline)

    def run(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Run all jobs in one emulated process; of one with `count`, its first sample's second inference is counted."""
        self.prepare()
        assert self._root is not None
        runtime = self._device.runtime.name
        site = site_of(runtime)
        library = Symbols(self._root / site / read_lock().runtimes[runtime].library)
        folder = Path(self._folder.name)
        command = ["qemu-aarch64", "-cpu", self._device.core.emulator.cpu, "-L", str(self._root)]
        if any(job.count for job in jobs):
            command += ["-plugin", self._plugin_argument(folder, library)]
        # A fixed, small environment: what a program inherits moves its stack, and the counts with it.
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"/{site}", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        env["OPENBLAS_NUM_THREADS"] = "1"  # numpy's threads would only cost start-up time
        command += [str(self._root / "usr/bin/python3.11"), "-s", str(AGENT), str(write_jobs(folder, jobs))]
        told = follow(command, jobs, where=f"emulated {self._device.name}", say=self._say, env=env)
        return [self._result(jobs, index, told[index], library) for index in range(len(jobs))]

    def _result(self, jobs: Sequence[Job], index: int, told: dict[str, Any], library: Symbols) -> RunResult:
        assert self._root is not None
        folder, job = Path(self._folder.name), jobs[index]
        outputs, steps = read_outputs(folder, index, told)
        counts = None
        if job.count:
            delegate_start, _ = library.find(DELEGATE_OPERATOR) or (0, 0)
            loaded = Loaded(library, int(told["library_base"]), delegate_start)
            counts = read_counts(folder / f"counts.{sum(other.count for other in jobs[:index])}", loaded)
        packages = package_versions(self._root)
        environment = {
            "runtime": str(told["runtime"]),
            "numpy": str(told["numpy"]),
            "emulator": "qemu-aarch64 {}.{}".format(*qemu_version()),
            "emulated_cpu": self._device.core.emulator.cpu + ("" if self._device.core.emulator.exact else " (nearest)"),
            "libc6": packages.get("libc6", "unknown"),
        }
        if counts is not None:  # what was asked for is not always what a model gets
            environment["kernels"] = "xnnpack" if "xnnpack" in counts.starts else "builtin"
        return RunResult(outputs, steps, counts, (), environment)

    def close(self) -> None:
        """Remove the scratch folder; the cache stays."""
        self._folder.cleanup()

    def _plugin_argument(self, folder: Path, library: Symbols) -> str:
        caches = self._device.caches
        levels = [(caches.l1d_kib, caches.l1d_ways), (caches.l2_kib, caches.l2_ways)]
        if caches.l3_kib:
            levels.append((caches.l3_kib, L3_WAYS))
        arguments = [f"cache={kib}:{ways}" for kib, ways in levels]
        if delegate := library.find(DELEGATE_OPERATOR):
            arguments.append(f"op={delegate[0]:x}")
        if operator := library.find(RUNTIME_OPERATOR):
            arguments.append(f"op={operator[0]:x}")
        elif interpreter := library.find(INTERPRETER_LOOP):
            arguments.append(f"calls={interpreter[0]:x}:{sum(interpreter):x}")
        return ",".join([str(self._plugin), f"out={folder / 'counts'}", *arguments])


def make_runner(device: BoardKind | None, *, say: Say, offline: bool) -> QemuRunner:
    """A runner that emulates `device`."""
    if device is None:
        raise UsageError("the emulator needs a device to emulate", "give --device")
    return QemuRunner(device, say=say, offline=offline)

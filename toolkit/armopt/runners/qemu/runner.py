"""The emulated board: qemu-aarch64 runs the agent with the board's kernels and counts one inference's instructions.

The time that emulation takes says nothing of the board and is not reported.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from armopt.core.device import BoardKind
from armopt.core.errors import DeviceError, UsageError
from armopt.core.records import Evidence, RunnerName
from armopt.runners.agent_job import AGENT, follow, read_outputs, write_job
from armopt.runners.base import Job, RunResult, Say
from armopt.runners.qemu.counts import read_counts
from armopt.runners.qemu.plugin import ensure_plugin, qemu_version
from armopt.runners.qemu.sysroot import SITE, ensure_board_root, package_versions


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
        self._told: dict[str, Any] = {}
        self._counted = False

    def prepare(self) -> None:
        """Build what the cache lacks: the system, the board's view of it, the plugin.

        Raises:
            DeviceError: a program is missing, a build failed, or `offline` and the cache is empty.
        """
        if self._root is None:
            self._plugin = ensure_plugin(say=self._say)
            self._root = ensure_board_root(self._device, say=self._say, offline=self._offline)

    def run(self, job: Job) -> None:
        """Run all samples in one emulated process; with `job.count`, count the first sample's second inference."""
        self.prepare()
        assert self._root is not None
        folder = Path(self._folder.name)
        command = ["qemu-aarch64", "-cpu", self._device.core.emulator.cpu, "-L", str(self._root)]
        if job.count:
            command += ["-plugin", self._plugin_argument(folder)]
        # A fixed, small environment: what a program inherits moves its stack, and the counts with it.
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"/{SITE}", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        env["OPENBLAS_NUM_THREADS"] = "1"  # numpy's threads would only cost start-up time
        command += [str(self._root / "usr/bin/python3.11"), "-s", str(AGENT), str(write_job(folder, job))]
        self._told = follow(command, job, where=f"emulated {self._device.name}", say=self._say, env=env)
        self._counted = job.count

    def fetch(self) -> RunResult:
        """Outputs and counts of the last run."""
        if not self._told or self._root is None:
            raise DeviceError(f"emulated {self._device.name}: nothing was run", "call run first")
        folder = Path(self._folder.name)
        outputs, steps = read_outputs(folder, self._told)
        counts = read_counts(folder / "counts.bin") if self._counted else None
        packages = package_versions(self._root)
        environment = {
            "runtime": str(self._told["runtime"]),
            "numpy": str(self._told["numpy"]),
            "emulator": "qemu-aarch64 {}.{}".format(*qemu_version()),
            "emulated_cpu": self._device.core.emulator.cpu + ("" if self._device.core.emulator.exact else " (nearest)"),
            "libc6": packages.get("libc6", "unknown"),
        }
        return RunResult(outputs, steps, counts, (), environment)

    def close(self) -> None:
        """Remove the scratch folder; the cache stays."""
        self._folder.cleanup()

    def _plugin_argument(self, folder: Path) -> str:
        caches = self._device.caches
        # Two levels: the first and the last before memory. What lies between changes latency, not memory traffic.
        last = (caches.l3_kib, 16) if caches.l3_kib else (caches.l2_kib, caches.l2_ways)
        levels = [(caches.l1d_kib, caches.l1d_ways), last]
        simulated = [f"cache={kib}:{ways}" for kib, ways in levels]
        return ",".join([str(self._plugin), f"out={folder / 'counts.bin'}", *simulated])


def make_runner(device: BoardKind | None, *, say: Say, offline: bool) -> QemuRunner:
    """A runner that emulates `device`."""
    if device is None:
        raise UsageError("the emulator needs a device to emulate", "give --device")
    return QemuRunner(device, say=say, offline=offline)

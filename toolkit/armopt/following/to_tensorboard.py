"""A run as TensorBoard shows it: one curve of loss a node, its figures, and leaves side by side under HPARAMS."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.core.errors import DeviceError, UsageError
from armopt.core.events import Event, NodeFinished, RunFinished, RunStarted, TrainingStep, few_steps
from armopt.core.records import Node
from armopt.following import node_metrics

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

# Points of a curve a second: an hour of training stays a small file.
_STEPS_PER_S = 20.0
# Of figures that are known once, at the end of a node.
_ONCE = 0


class ToTensorBoard:
    """Writes event files below `FOLDER/DEVICE-TIME`, a folder for each node.

    Args:
        folder: what `tensorboard --logdir` is given.

    Raises:
        UsageError: tensorboard is not installed.
        DeviceError: the folder can't be written.
    """

    name = "TensorBoard"

    def __init__(self, folder: str) -> None:
        try:
            import tensorboard.summary.writer.event_file_writer  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "--tensorboard needs TensorBoard, which is not installed", "pip install armopt[tensorboard]"
            ) from error
        self._folder, self._run = Path(folder), Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            probe = self._folder / f".probe-{time.monotonic_ns()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise DeviceError(
                f"'{folder}' can't be written: {error.strerror or error}", "name another folder"
            ) from error
        self._writers: dict[str, EventFileWriter] = {}
        self._step = few_steps(self._loss, _STEPS_PER_S)

    def __call__(self, event: Event) -> None:
        """Write the event down."""
        if isinstance(event, RunStarted):
            self.close(None)
            self._run = self._folder / f"{_safe(event.device)}-{time.strftime('%Y%m%d-%H%M%S')}"
            self._text("", "run", f"{event.device} ({event.runner}, {event.evidence}); target: {event.target}")
        elif isinstance(event, TrainingStep):
            self._step(event)
        elif isinstance(event, NodeFinished) and event.node.status not in ("skipped", "waiting"):
            self._finish(event.node)
        elif isinstance(event, RunFinished):
            result = event.result
            self._text("", "verdict", f"**{result.verdict or 'built'}** {result.chosen or ''}: {result.reason}")

    def close(self, error: BaseException | None) -> None:
        """Write out what is left."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _loss(self, event: Event) -> None:
        assert isinstance(event, TrainingStep)
        self._scalar(event.path, "loss", event.loss, event.step)

    def _finish(self, node: Node) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        for name, value in node_metrics(node).items():
            self._scalar(node.path, name, value, _ONCE)
        self._text(node.path, "status", f"**{node.status}** {node.reason}\n\n{node.work}")
        if node.gz_bytes is not None:  # a leaf
            stages = node.path.split("/")
            known: dict[str, Any] = {"node": node.path, "status": node.status}
            known |= {stage: stage in stages for stage in ("channels", "prune", "cluster")}
            self._add(node.path, hparams_pb(known, trial_id=node.path), _ONCE)
        self._writers.pop(node.path).close()

    def _scalar(self, path: str, name: str, value: float, step: int) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._add(path, scalar_pb(name, value), step)

    def _text(self, path: str, name: str, words: str) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(path, text_pb(name, words), _ONCE)

    def _add(self, path: str, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Written
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        writer = self._writers.get(path)
        if writer is None:
            folder = self._run.joinpath(*(_safe(part) for part in path.split("/") if part))
            writer = self._writers[path] = EventFileWriter(str(folder))
        writer.add_event(Written(wall_time=time.time(), step=step, summary=summary))


def _safe(name: str) -> str:
    """A folder's name for a stage or a device."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60] or "_"

"""A run as MLflow shows it: one run for the deployment, one below it for each node, and what was delivered."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from armopt.core.errors import DeviceError, UsageError
from armopt.core.events import Event, NodeFinished, RunFinished, RunStarted, TrainingStep, few_steps
from armopt.core.records import Node, Result
from armopt.following import node_metrics

if TYPE_CHECKING:
    from mlflow.entities import Metric

EXPERIMENT = "armopt"
DELIVERED = ("result.json", "model.tflite", "run_model.py")
# Curves are kept in memory and sent together, so that a slow server does not slow down training.
_STEPS_PER_S, _SENT_EVERY_S, _MOST = 5.0, 10.0, 900
_LONGEST = 250  # characters of a parameter that every server takes
_PICTURES = 40


class ToMlflow:
    """Logs a deployment to an MLflow tracking server, or to a folder.

    Args:
        address: `http(s)://...`, another address that MLflow knows, a folder, or `on`: MLFLOW_TRACKING_URI, else
            MLflow's own default. The experiment is MLFLOW_EXPERIMENT_NAME, else `armopt`.

    Raises:
        UsageError: mlflow-skinny is not installed.
        DeviceError: the server can't be reached, or the folder can't be used.
    """

    name = "MLflow"

    def __init__(self, address: str) -> None:
        _set_up(address)
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise UsageError("--mlflow needs MLflow, which is not installed", "pip install armopt[mlflow]") from error
        try:
            self._client = MlflowClient(None if address == "on" else _uri(address))
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
            found = self._client.get_experiment_by_name(name)
            self._experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
            self._parent: str = self._client.create_run(self._experiment, run_name="deploy").info.run_id
        except (MlflowException, OSError) as error:
            words = re.sub(r"(?<=://)[^/@\s]+@", "", str(error)).splitlines()[0][:300]
            raise DeviceError(
                f"MLflow can't be used: {words}", "give --mlflow a server's address or a folder"
            ) from error
        self._runs: dict[str, str] = {}
        self._waiting: dict[str, list[Metric]] = {}
        self._sent = time.monotonic()
        self._step = few_steps(self._loss, _STEPS_PER_S)

    def __call__(self, event: Event) -> None:
        """Log the event."""
        if isinstance(event, RunStarted):
            told = {"device": event.device, "runner": event.runner, "evidence": event.evidence, "target": event.target}
            for name, value in told.items():
                self._client.set_tag(self._parent, name, value)
        elif isinstance(event, TrainingStep):
            self._step(event)
        elif isinstance(event, NodeFinished) and event.node.status not in ("skipped", "waiting"):
            self._finish(event.node)
        elif isinstance(event, RunFinished):
            self._deliver(event.result)

    def close(self, error: BaseException | None) -> None:
        """Send what is left, and say how the run ended."""
        self._send()
        status = "FINISHED" if error is None else "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        for run in self._runs.values():
            self._client.set_terminated(run, status)
        self._client.set_terminated(self._parent, status)

    def _run_of(self, path: str) -> str:
        if path not in self._runs:
            tags = {"mlflow.parentRunId": self._parent}
            made = self._client.create_run(self._experiment, tags=tags, run_name=path)
            self._runs[path] = made.info.run_id
        return self._runs[path]

    def _loss(self, event: Event) -> None:
        from mlflow.entities import Metric

        assert isinstance(event, TrainingStep)
        points = self._waiting.setdefault(event.path, [])
        points.append(Metric("loss", event.loss, round(1000 * time.time()), event.step))
        if time.monotonic() - self._sent > _SENT_EVERY_S or len(points) >= _MOST:
            self._send()

    def _send(self) -> None:
        self._sent = time.monotonic()
        while self._waiting:
            path, points = self._waiting.popitem()
            self._client.log_batch(self._run_of(path), metrics=points)

    def _finish(self, node: Node) -> None:
        self._send()
        run = self._run_of(node.path)
        self._log(run, {"node": node.path, "work": node.work, "status": node.status}, dict(node_metrics(node)))
        if node.reason:
            self._client.set_tag(run, "reason", node.reason[:_LONGEST])
        self._client.set_terminated(run, "FAILED" if node.status == "failed" else "FINISHED")
        del self._runs[node.path]

    def _deliver(self, result: Result) -> None:
        asked = {f"target.{name}": str(value) for name, value in result.target.items() if value is not None}
        known = {
            "model": result.model,
            "data": result.data,
            "metric": result.metric.name,
            "armopt": result.armopt_version,
            **asked,
        }
        chosen = next((node for node in result.nodes if node.path == result.chosen), None)
        self._log(self._parent, known, dict(node_metrics(chosen)) if chosen is not None else {})
        for name, value in (
            ("verdict", result.verdict or "built"),
            ("chosen", result.chosen or ""),
            ("reason", result.reason),
        ):
            self._client.set_tag(self._parent, name, value[:_LONGEST])
        if result.out is None:
            return
        for name in DELIVERED:
            if (Path(result.out) / name).is_file():
                self._client.log_artifact(self._parent, str(Path(result.out) / name))
        for picture in sorted((Path(result.out) / "plots").glob("[0-9]*.png"))[:_PICTURES]:
            self._client.log_artifact(self._parent, str(picture), "plots")

    def _log(self, run: str, known: dict[str, str], metrics: dict[str, float]) -> None:
        from mlflow.entities import Metric, Param

        at = round(1000 * time.time())
        self._client.log_batch(
            run,
            metrics=[Metric(name, value, at, 0) for name, value in metrics.items()],
            params=[Param(name, value[:_LONGEST]) for name, value in known.items() if value],
        )


def _set_up(address: str) -> None:
    """MLflow reads its settings from the environment; those that a user set are kept."""
    # It would tell its makers that it was used.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A server that does not answer is told of in seconds and not in minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    if _uri(address).startswith("file:"):
        # Newer versions take a folder only from those who say that they mean it.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")


def _uri(address: str) -> str:
    """A folder as an address; every other address as it is."""
    plain = address in ("on", "databricks", "databricks-uc") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", address)
    return address if plain else Path(address).absolute().as_uri()

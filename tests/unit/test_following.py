from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from armopt.core.errors import DeviceError, UsageError
from armopt.core.events import Event, NodeFinished, Note, RunFinished, RunStarted, SearchProgress, TrainingStep
from armopt.core.records import Result
from armopt.delivery import deliver
from armopt.following import followed, node_metrics


def tell(events: list[Event], told: list[Event], **followers: str | None) -> None:
    with followed(told.append, followers.get("tensorboard"), followers.get("mlflow")) as listener:
        for event in events:
            listener(event)


@pytest.fixture
def events(events: list[Event]) -> list[Event]:
    """The run's events, with the last step of its training, which is never left out."""
    place = next(
        place for place, event in enumerate(events) if isinstance(event, NodeFinished) and event.node.seconds == 12
    )
    return [*events[:place], TrainingStep("prune", 300, 300, 2, 2, 0.125), *events[place:]]


def test_nobody_follows_unless_asked(events: list[Event]) -> None:
    told: list[Event] = []
    with followed(told.append, None, None) as listener:
        assert listener == told.append


def test_metrics_are_what_was_observed(result: Result) -> None:
    leaf = node_metrics(result.nodes[1])
    assert leaf["metric/int8"] == 0.9833 and leaf["size/gz_bytes"] == 31_022 and leaf["speed/latency_p50_ms"] == 0.2071
    assert node_metrics(result.nodes[2]) == {}
    strange = result.nodes[3].model_copy(
        update={"accuracy": result.nodes[3].accuracy.model_copy(update={"keras": float("nan")})}
    )
    assert node_metrics(strange) == {"seconds": 12.0}


def curves(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Values by tag of each run that TensorBoard finds in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, dict[str, list[float]]] = {}
    for file in folder.rglob("events.out.*"):
        read = EventAccumulator(str(file.parent)).Reload()
        tags = read.Tags()["tensors"]
        found[str(file.parent.relative_to(folder))] = {
            tag: [float(point.tensor_proto.float_val[0]) for point in read.Tensors(tag) if point.tensor_proto.float_val]
            for tag in tags
        }
    return found


def test_tensorboard_has_a_curve_and_the_figures_of_each_node(tmp_path: Path, events: list[Event]) -> None:
    told: list[Event] = []
    tell(events, told, tensorboard=str(tmp_path / "logs"))
    assert told == events
    found = {name.split("/", 1)[-1] if "/" in name else "": tags for name, tags in curves(tmp_path / "logs").items()}
    assert set(found) == {"", "float", "ptq", "prune", "prune/pqat", "prune/cluster/ptq"}
    assert len(found["prune"]["loss"]) >= 2 and found["prune"]["loss"][-1] == 0.125
    assert found["prune/cluster/ptq"]["size/gz_bytes"] == [9123.0]
    assert found["ptq"]["metric/int8"] == [pytest.approx(0.9833)]
    assert {"run", "verdict"} <= set(found[""])
    assert "_hparams_/session_start_info" in found["ptq"] and "_hparams_/session_start_info" not in found["prune"]


def test_trials_of_a_search_do_not_mix_with_the_run(tmp_path: Path, events: list[Event]) -> None:
    trials = [SearchProgress(0, 2), TrainingStep("prune", 1, 1, 1, 1, 9.0), SearchProgress(1, 2)]
    tell([*trials, *events], [], tensorboard=str(tmp_path))
    losses = [tags["loss"] for tags in curves(tmp_path).values() if "loss" in tags]
    assert len(losses) == 1 and 9.0 not in losses[0]


def test_a_stages_name_is_no_path(tmp_path: Path, events: list[Event]) -> None:
    step = TrainingStep("../../../out/..", 1, 1, 1, 1, 0.5)
    tell([events[0], step], [], tensorboard=str(tmp_path / "logs"))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An MLflow client of a folder, and the folder."""
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return MlflowClient((tmp_path / "runs").as_uri()), str(tmp_path / "runs")


def test_mlflow_has_the_run_its_nodes_and_what_was_delivered(
    tmp_path: Path, events: list[Event], result: Result, tracked: Any
) -> None:
    client, folder = tracked
    done = result.model_copy(update={"out": str(tmp_path / "out")})
    (tmp_path / "made.tflite").write_bytes(b"model")
    deliver(done, tmp_path / "made.tflite", tmp_path / "out", "none", 1)
    (tmp_path / "out" / "plots").mkdir()
    (tmp_path / "out" / "plots" / "001-a.png").write_bytes(b"picture")
    (tmp_path / "out" / "mine.txt").write_text("of the user's own")
    tell([*events[:-1], RunFinished(done)], [], mlflow=folder)
    experiment = client.get_experiment_by_name("armopt")
    logged = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(logged) == {"deploy", "float", "ptq", "prune", "prune/pqat", "prune/cluster/ptq"}
    parent = logged["deploy"]
    assert parent.data.tags["verdict"] == "met" and parent.data.tags["chosen"] == "prune/cluster/ptq"
    assert parent.data.params["target.max_gz_bytes"] == "20000" and parent.data.metrics["size/gz_bytes"] == 9123
    assert {run.info.status for run in logged.values()} == {"FINISHED", "FAILED"}
    assert logged["prune/pqat"].info.status == "FAILED"
    assert logged["ptq"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    losses = client.get_metric_history(logged["prune"].info.run_id, "loss")
    assert losses[-1].step == 300 and losses[-1].value == 0.125
    kept = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert kept == {"result.json", "model.tflite", "run_model.py", "plots"}


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "KILLED"), (DeviceError("gone"), "FAILED")])
def test_a_run_that_ended_early_is_not_told_as_finished(
    events: list[Event], tracked: Any, error: BaseException, status: str
) -> None:
    client, folder = tracked
    with pytest.raises(type(error)), followed(lambda event: None, None, folder) as listener:
        for event in events[:20]:
            listener(event)
        raise error
    experiment = client.get_experiment_by_name("armopt")
    logged = {run.info.run_name: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert logged["deploy"] == status


def test_a_server_that_is_not_there_is_told_at_once_and_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(DeviceError, match="MLflow can't be used") as told:
        tell([], [], mlflow="http://me:secret@127.0.0.1:9")
    assert "secret" not in str(told.value) and told.value.exit_code == 4


def test_a_follower_that_fails_costs_a_note_and_not_the_run(tmp_path: Path, events: list[Event]) -> None:
    told: list[Event] = []
    with followed(told.append, str(tmp_path / "logs"), None) as listener:
        (tmp_path / "logs").rmdir()
        (tmp_path / "logs").write_text("in the way")
        for event in events:
            listener(event)
    notes = [event.text for event in told if isinstance(event, Note) and event not in events]
    assert len(notes) == 1 and notes[0].startswith("TensorBoard does not follow any more: ")
    assert [event for event in told if event in events] == events


@pytest.mark.parametrize("follower", ["tensorboard", "mlflow"])
def test_a_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, follower: str
) -> None:
    found = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == follower:
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=rf"pip install armopt\[{follower}\]"):
        tell([], [], **{follower: str(tmp_path)})


def test_a_folder_that_can_not_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="name another folder"):
        tell([], [], tensorboard=str(tmp_path / "file" / "logs"))


def test_events_follow_in_order(tmp_path: Path, result: Result) -> None:
    started = RunStarted(("float",), (), "pi 4/..", "qemu", "modelled", "none")
    tell([started, NodeFinished(result.nodes[0], False), RunFinished(result)], [], tensorboard=str(tmp_path))
    [run] = tmp_path.iterdir()
    assert run.name.startswith("pi_4_-")

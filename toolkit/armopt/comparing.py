"""Reads results of `deploy` and `measure` to compare them, whichever of the two made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from armopt.core.errors import UsageError
from armopt.core.records import Measurement, Metric, Result
from armopt.core.subject import Scored, Setting, Subject, operators_of, setting_of
from armopt.delivery import read_result
from armopt.measured_document import node_and_measurement

# No document of ours is near that, and one that claims to be a baseline may come from anywhere.
_MOST_BYTES = 256_000_000


def read_subject(path: Path, node: str | None = None) -> Subject:
    """What a document of `armopt deploy` or `armopt measure` says of one model.

    Args:
        path: the JSON file, or a folder with a `result.json`.
        node: of a deployment; None takes the one that it chose.

    Raises:
        UsageError: there is no such document or node.
    """
    file = path / "result.json" if path.is_dir() else path
    document = _document(file)
    if "nodes" not in document and "runner" in document:
        if node is not None:
            raise UsageError(f"'{file}' is of one model and has no node '{node}'", "leave the node out")
        return _of_document(document, file)
    return subject_of_result(read_result(path), node)


def subject_of_result(result: Result, path: str | None = None) -> Subject:
    """One node of a deployment; the chosen one where `path` is None.

    Raises:
        UsageError: nothing was chosen, or that node was not built.
    """
    built = [node for node in result.nodes if node.gz_bytes is not None]
    named = ", ".join(node.path for node in built) or "none"
    if path is None and result.chosen is None:
        raise UsageError(f"the run of {result.model} chose no node", f"name one that was built: {named}")
    wanted = path or result.chosen
    node = next((node for node in built if node.path == wanted), None)
    if node is None:
        raise UsageError(f"'{wanted}' was not built in the run of {result.model}", f"name one that was: {named}")
    whole = f"{result.model}: {node.path}"
    scored = None
    if node.accuracy.int8 is not None:
        scored = Scored(metric=result.metric, value=node.accuracy.int8, samples=result.test_samples, data=result.data)
    found = result.measurements.get(node.path)
    if found is not None:
        return _of_measurement(whole, found, node.gz_bytes, scored)
    # All leaves of a run are measured in the same way.
    another = next(iter(result.measurements.values()), None)
    setting = setting_of(another) if another is not None else Setting(device=result.device)
    return Subject(
        model=whole,
        setting=setting.model_copy(update={"evidence": node.evidence or result.evidence}),
        latency_ms=None if node.latency_ms is None else node.latency_ms.p50,
        error_known=node.interval_ms is not None,
        fallback=node.npu.fallback_ops if node.npu else (),
        instructions=node.instructions,
        gz_bytes=node.gz_bytes,
        sram_bytes=node.npu.sram_bytes if node.npu else None,
        flash_bytes=node.npu.flash_bytes if node.npu else None,
        scored=scored,
    )


def subject_of_measurement(model: str, found: Measurement, gz_bytes: int | None) -> Subject:
    """A single .tflite, just measured or read."""
    scored = None
    if found.score is not None and found.score.higher_is_better is not None:
        metric = Metric(name=found.score.metric, higher_is_better=found.score.higher_is_better)
        scored = Scored(metric=metric, value=found.score.value, samples=found.score.samples)
    return _of_measurement(model, found, gz_bytes, scored)


def _of_measurement(model: str, found: Measurement, gz_bytes: int | None, scored: Scored | None) -> Subject:
    latency = None if found.latency_ms is None else getattr(found.latency_ms, found.percentile)
    return Subject(
        model=model,
        setting=setting_of(found),
        host=found.host,
        latency_ms=latency,
        percentile=found.percentile,
        error_known=found.interval_ms is not None,
        rounds=found.rounds or tuple((value,) for value in found.raw_ms),
        unstable_reason=found.unstable_reason,
        fallback=found.npu.fallback_ops if found.npu else (),
        instructions=found.instructions,
        operators=operators_of(found),
        gz_bytes=gz_bytes,
        sram_bytes=found.npu.sram_bytes if found.npu else None,
        flash_bytes=found.npu.flash_bytes if found.npu else None,
        scored=scored,
    )


def _document(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise UsageError(f"'{file}' is too large for a result", "name the JSON of armopt deploy or armopt measure")
        found = json.loads(file.read_bytes(), parse_constant=_no_number)
    except OSError as error:
        raise UsageError(
            f"no result at '{file}': {error.strerror or error}", "name the JSON of armopt deploy or armopt measure"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"'{file}' is no JSON document", "make it with armopt deploy or measure, and --json"
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f"'{file}' is no result", "name the JSON of armopt deploy or armopt measure")
    return found


def _no_number(text: str) -> float:
    """Of NaN no limit is ever exceeded."""
    raise ValueError(f"{text} is no number")


def _of_document(document: dict[str, Any], file: Path) -> Subject:
    """A document of `armopt measure --json`, which has the keys of a node and of a measurement side by side."""
    node, found = node_and_measurement(document, file)
    return subject_of_measurement(node.path, found, node.gz_bytes)

"""Finds the runs of earlier deployments, and joins them on one page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from armopt.core.errors import StoreError, UsageError
from armopt.core.records import Measurement, Metric, Result
from armopt.core.target import Target
from armopt.core.version import VERSION
from armopt.delivery import read_result
from armopt.measured_document import node_and_measurement, not_a_measurement

if TYPE_CHECKING:
    from armopt.show.page.model import Given
    from armopt.show.page.pictures import Picture

RESULT, RUNS, PAGE, PLOTS = "result.json", "armopt-out", "report.html", "plots"
# A document or picture that is larger is none of ours.
_MOST_BYTES = 64_000_000
_MOST_PICTURES = 2_000


@dataclass(frozen=True)
class Run:
    """One run: its `result.json`, what that says, and when the run ended (seconds since 1970)."""

    file: Path
    result: Result
    ended: float

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.file.parent


def find_runs(folders: Sequence[Path], tell: Callable[[str], None]) -> list[Run]:
    """The runs in the folders, newest first.

    Args:
        folders: each a run's own, one with runs in it, or one with an `armopt-out` in it.
        tell: told of results that can't be read.
    """
    found: dict[Path, Run] = {}
    for folder in folders:
        for file in _results_in(folder):
            try:
                result = read_result(file)
                found[file.resolve()] = Run(file, result, _ended(result, file))
            except UsageError as error:
                tell(f"left out: {error}")
    return sorted(found.values(), key=lambda run: -run.ended)


def latest_run(folder: Path, tell: Callable[[str], None]) -> Run:
    """The newest run below the folder.

    Raises:
        UsageError: there is none.
    """
    runs = find_runs([folder], tell)
    if not runs:
        raise UsageError(f"no run lies below '{folder}'", "name a run's folder, or make one: armopt deploy ...")
    return runs[0]


def read_given(path: Path) -> Given:
    """A run or a measurement to show, from its folder or its JSON file.

    Raises:
        UsageError: there is none, or this version can't read it.
    """
    from armopt.show.page.model import Given

    file = path / RESULT if path.is_dir() else path
    document = _document(file)
    if document is not None and "nodes" not in document and "runner" in document:
        return Given(_of_measurement(document, file), file.stem, is_tree=False)
    result = read_result(path)
    name = file.parent.resolve().name if file.name == RESULT else file.stem
    return Given(result, name, pictures=tuple(_pictures(file.parent / PLOTS)))


def with_operators(given: Given, folder: Path, say: Callable[[str], None], offline: bool = False) -> Given:
    """The run with the operators of its chosen node and of the first one built, counted by emulating its device.

    Raises:
        UsageError: the run has no model any more.
        DeviceError: the device can't be emulated here.
    """
    from armopt.catalog.devices import find_device
    from armopt.measuring import measure

    result = given.result
    measured = result.measurements.values()
    if not given.is_tree or (measured and all(one.operators or one.npu_layers for one in measured)):
        return given
    files = {node.path: Path(node.artifact) for node in result.nodes if node.artifact}
    first = next(iter(files), None)
    if result.chosen is not None:
        files[result.chosen] = folder / "model.tflite"
    wanted = [path for path in dict.fromkeys((first, result.chosen)) if path is not None and files[path].is_file()]
    if not wanted:
        raise UsageError(f"'{folder}' has no model.tflite to tell operators of", "run armopt deploy again")
    known: dict[str, Measurement] = {}
    for path in wanted:
        device = find_device(result.device)
        known[path], _ = measure(files[path], device, by_operator=True, say=say, offline=offline)
    return replace(given, operators=known)


def write_page(given: Sequence[Given], file: Path, title: str | None = None) -> int:
    """Write the page, whole or not at all; its size in bytes.

    Raises:
        StoreError: the file can't be written.
    """
    from armopt.show.page.page import html_page

    content = html_page(given, title).encode("utf-8", "replace")
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        raise StoreError(
            f"'{file}' can't be written: {error.strerror or error}", "name another file with -o"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return len(content)


def _results_in(folder: Path) -> Iterator[Path]:
    if (folder / RESULT).is_file():
        yield folder / RESULT
    for pattern in (f"*/{RESULT}", f"{RUNS}/*/{RESULT}"):
        yield from sorted(file for file in folder.glob(pattern) if file.is_file())


def _ended(result: Result, file: Path) -> float:
    if result.finished is not None:
        try:
            ended = datetime.fromisoformat(result.finished)
            return (ended if ended.tzinfo else ended.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    return file.stat().st_mtime


def _document(file: Path) -> dict[str, Any] | None:
    """The file's JSON object; None where it has none, of which `read_result` says why."""
    try:
        found = json.loads(file.read_bytes()) if file.stat().st_size <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _of_measurement(document: dict[str, Any], file: Path) -> Result:
    """A document of `armopt measure --json` as a result of one node."""
    node, found = node_and_measurement(document, file)
    try:
        return Result(
            armopt_version=VERSION,
            device=found.device,
            hosts=(found.host,) if found.host else (),
            runner=found.runner,
            evidence=found.evidence,
            model=node.path,
            data="",
            metric=Metric(name=found.score.metric if found.score else "accuracy"),
            source_accuracy=None,
            target=document.get("target") or Target().model_dump(),
            verdict=document.get("verdict"),
            reason=node.reason,
            chosen=node.path,
            nodes=(node,),
            measurements={node.path: found},
            out=None,
            seconds=found.seconds,
        )
    except ValidationError as error:
        raise not_a_measurement(error, file) from error


def _pictures(folder: Path) -> Iterator[Picture]:
    """The pictures of a run's folder; what is no file of ours is left alone."""
    from armopt.show.page.pictures import MOST_BYTES, picture_of
    from armopt.show.plot_files import MADE_HERE

    if not folder.is_dir():
        return
    names = sorted(entry.name for entry in folder.iterdir() if MADE_HERE.match(entry.name))
    for name in [name for name in names if name.endswith(".svg")][:_MOST_PICTURES]:
        file = folder / name
        # A link could lead to anything of the user's, and the page is made to be given away.
        if file.is_symlink() or not file.is_file() or file.stat().st_size > MOST_BYTES:
            continue
        picture = picture_of(name, file.read_bytes())
        if picture is not None:
            yield picture

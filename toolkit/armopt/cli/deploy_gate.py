"""What `armopt deploy` holds against a baseline, and what it tells CI systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armopt.cli.gate_options import ROUNDS, Gate

if TYPE_CHECKING:
    from armopt.core.records import Result
    from armopt.placing import NpuPlace, Place


def expect(gate: Gate, arguments: dict[str, Any]) -> None:
    """Refuse a baseline of another device, evidence or number of threads before an hour of training.

    Raises:
        UsageError: it is.
    """
    from armopt.core.records import Evidence
    from armopt.core.subject import Setting
    from armopt.placing import NpuPlace

    if gate.baseline is None:
        return
    place = _place(arguments)
    if isinstance(place, NpuPlace):
        gate.expect(Setting(device=place.kind.name, evidence="estimated"))
        return
    on_boards: Evidence = "functional" if place.kind.functional else "measured"
    evidence: Evidence = on_boards if place.hosts else "modelled"
    gate.expect(Setting(device=place.kind.name, evidence=evidence, threads=arguments["threads"]))


def least_rounds(gate: Gate, arguments: dict[str, Any]) -> int:
    """How often a leaf is timed on boards at least: as said, else often enough to be held against a baseline."""
    from armopt.placing import NpuPlace

    if arguments["rounds"] is not None or gate.baseline is None:
        return arguments["rounds"] or 0
    place = _place(arguments)
    return 0 if isinstance(place, NpuPlace) or not place.hosts else ROUNDS


def _place(arguments: dict[str, Any]) -> Place | NpuPlace:
    from armopt.placing import find_place

    device = arguments["device"] or (None if arguments["host"] else "pi4")
    return find_place(device, arguments["host"], arguments["emulate"], arguments["vela_ini"])


def compared(gate: Gate, result: Result) -> Result:
    """The result with its comparison, on disk too; without one where there is no baseline, or nothing was chosen.

    Raises:
        UsageError: the baseline came about differently.
        StoreError: `result.json` can't be written.
    """
    from pathlib import Path

    from armopt.comparing import subject_of_result
    from armopt.delivery import write_result

    if gate.baseline is None or result.chosen is None:
        return result
    held = result.model_copy(update={"comparison": gate.compared(subject_of_result(result))})
    if held.out is not None:
        write_result(held, Path(held.out))
    return held


def report(gate: Gate, result: Result) -> None:
    """Write the files that CI systems show, if they were asked for."""
    from armopt.show.junit import junit_of_result
    from armopt.show.markdown import markdown_of_result

    gate.write(
        lambda: junit_of_result(result, result.comparison), lambda: markdown_of_result(result, result.comparison)
    )

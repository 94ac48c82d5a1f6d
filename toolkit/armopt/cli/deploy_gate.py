"""What `armopt deploy` holds against a baseline, and what it tells CI systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armopt.cli.gate_options import ROUNDS, Gate

if TYPE_CHECKING:
    from armopt.core.records import Result


def rounds_for(gate: Gate, arguments: dict[str, Any]) -> int:
    """How often a leaf is timed on boards at least: as said, else often enough to be held against the baseline.

    A baseline of another device, evidence or number of threads is refused here, before an hour of training.

    Raises:
        UsageError: it is such a baseline.
    """
    from armopt.core.records import Evidence
    from armopt.core.subject import Setting
    from armopt.placing import NpuPlace, find_place

    said: int | None = arguments["rounds"]
    if gate.baseline is None:
        return said or 0
    device = arguments["device"] or (None if arguments["host"] else "pi4")
    place = find_place(device, arguments["host"], arguments["emulate"], arguments["vela_ini"])
    if isinstance(place, NpuPlace):
        gate.expect(Setting(device=place.kind.name, evidence="estimated"))
        return said or 0
    on_boards: Evidence = "functional" if place.kind.functional else "measured"
    evidence: Evidence = on_boards if place.hosts else "modelled"
    gate.expect(Setting(device=place.kind.name, evidence=evidence, threads=arguments["threads"]))
    return ROUNDS if said is None and place.hosts else said or 0


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

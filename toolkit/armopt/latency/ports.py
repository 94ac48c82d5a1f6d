"""Cycles of basic blocks by a port model: what its busiest unit needs.

A block costs the sum over its instructions of the reciprocal throughput of their class on the busiest unit, or the
instructions divided by the issue width where that is more (a bound, as port models of throughput give it: Abel and
Reineke, uops.info, ASPLOS 2019). Two vector pipes share what both can execute. Dependences are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from armopt.core.device import CoreKind
from armopt.core.instructions import CLASS_INDEX, CLASS_UNIT, CLASSES, UNITS


def block_cycles(classes: NDArray[np.int64], core: CoreKind) -> NDArray[np.float64]:
    """(blocks,) cycles of one execution of each block, from (blocks, classes) instruction counts."""
    bound: NDArray[np.float64] = np.maximum.reduce(list(unit_cycles(classes, core).values()))
    return bound


def unit_cycles(classes: NDArray[np.int64], core: CoreKind) -> dict[str, NDArray[np.float64]]:
    """(blocks,) cycles that one execution of each block keeps each unit busy; 'issue' is the core's front end."""
    cost = np.array([core.cycles[name] for name in CLASSES])
    unit_of = [CLASS_UNIT[name] for name in CLASSES]
    if core.shared_load_store:
        unit_of = ["load" if unit == "store" else unit for unit in unit_of]

    def busy(names: Iterable[str]) -> NDArray[np.float64]:
        columns = [CLASS_INDEX[name] for name in names]
        time: NDArray[np.float64] = classes[:, columns] @ cost[columns]
        return time

    units = {unit: [name for name, own in zip(CLASSES, unit_of, strict=True) if own == unit] for unit in UNITS}
    first, second = busy(core.first_pipe), busy(core.second_pipe)
    either = busy(name for name in units.pop("vector") if name not in (*core.first_pipe, *core.second_pipe))
    # What one pipe alone executes leaves the other free: in the sum over both it counts half.
    vector = np.maximum.reduce([either + (first + second) / 2, first, second])
    issue = classes.sum(axis=1) / core.issue_width
    return {"vector": vector, "issue": issue, **{unit: busy(names) for unit, names in units.items()}}

"""Which segments of a counted run belong to which operator of the graph.

Segments come in the order in which operators ran. Mostly there is one a piece; but XNNPACK drops some operators, fuses
some, and runs others in several steps, and the runtime's own segments (preparation, calls of the delegate) belong to
none. So the two sequences are aligned by a dynamic program that weighs how well kernels suit operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armopt.core.counts import Counts, Start
from armopt.core.graph import GraphOperator
from armopt.latency.kernel_names import DELEGATE_CALL, DROPPABLE, assists, family, fit, is_generic
from armopt.latency.run_order import run_order

# Above all each kernel shall go to the operator that it suits; the rest decides between what suits equally.
_OWN_KERNEL, _SIDE_WORK = 10.0, 0.5
_UNATTRIBUTED = {"none": 0.0}
_UNATTRIBUTED_NAMED, _NOT_RUN, _NOT_RUN_DROPPABLE = -1.0, -2.0, -0.2
# Operators and segments further out of step than the difference of their numbers and this are not compared.
_BAND = 48
_ROUNDS = 4
# A function with less of a segment's instructions says nothing of it; nor do named functions with less of it together.
_TELLING_SHARE, _TELLING_NAMED = 0.02, 0.002


@dataclass(frozen=True)
class Segment:
    """What a segment shows of itself: its start, the functions that ran in it, busiest first, their family."""

    start: Start
    functions: tuple[str, ...]
    family: str

    @property
    def is_call(self) -> bool:
        """Whether it is a part of the runtime that computes no operator: the caller, preparation, a delegate's call."""
        if self.start == "runtime":
            return self.family == "none" or any(map(DELEGATE_CALL.match, self.functions))
        return self.start == ""


def read_segments(counts: Counts) -> list[Segment]:
    """The segments of a run."""
    lengths = np.array([len(block) for block in counts.blocks], np.int64)
    names = sorted(set(counts.functions))
    column = {name: number for number, name in enumerate(names)}
    of_block = np.array([column[function] for function in counts.functions], np.int64)
    named = np.array([not is_generic(name) for name in names], bool)
    found = []
    for start, executions in zip(counts.starts, counts.executions, strict=True):
        work = np.bincount(of_block, weights=executions * lengths, minlength=len(names))
        least = np.full(len(names), _TELLING_SHARE * work.sum())
        # The last operator's segment has the way back to the caller in it, which may be far longer than its kernel.
        if work[named].sum() > _TELLING_NAMED * work.sum():
            least[named] = _TELLING_SHARE * work[named].sum()
        functions = tuple(names[number] for number in np.argsort(-work, kind="stable") if work[number] > least[number])
        found.append(Segment(start, functions, family(functions)))
    return found


def align(operators: Sequence[GraphOperator], segments: Sequence[Segment]) -> list[int | None]:
    """For each segment the position in `operators` whose work it is, None where it is no operator's.

    Which operators a delegate took shows only once they are aligned, and moves the others' turn: so the alignment is
    repeated in the order that follows from it until nothing changes.
    """
    candidates = [number for number, segment in enumerate(segments) if not segment.is_call]
    order = list(range(len(operators)))
    best: tuple[float, list[int | None]] | None = None
    for _ in range(_ROUNDS):
        score, owners = _aligned([operators[at] for at in order], [segments[number] for number in candidates])
        owners = [None if owner is None else order[owner] for owner in owners]
        if best is None or score > best[0]:
            best = (score, owners)
        own = {owner for owner, number in zip(owners, candidates, strict=True) if segments[number].start == "runtime"}
        # What shows no segment was dropped or fused, which only a delegate does.
        following = run_order(operators, set(range(len(operators))) - own) if own != set(order) else order
        if following == order:
            break
        order = following
    result: list[int | None] = [None] * len(segments)
    for number, owner in zip(candidates, best[1] if best else (), strict=False):
        result[number] = owner
    return result


def _aligned(operators: Sequence[GraphOperator], segments: Sequence[Segment]) -> tuple[float, list[int | None]]:
    """The best score, and the owner of each segment.

    State (i, j, ran): operators before i are done with, segments before j are given away, and `ran` says whether
    operator i has its kernel already.
    """
    rows, columns = len(operators), len(segments)
    band = abs(rows - columns) + _BAND
    score = np.full((rows + 1, columns + 1, 2), -np.inf)
    # How each state was reached: 0 the operator before was left, 1 its kernel, 2 its side work, 3 nobody's segment.
    way = np.zeros((rows + 1, columns + 1, 2), np.int8)
    came = np.zeros((rows + 1, columns + 1, 2), np.int8)
    score[0, 0, 0] = 0.0

    def reach(i: int, j: int, ran: int, value: float, how: int, from_ran: int) -> None:
        if value > score[i, j, ran]:
            score[i, j, ran], way[i, j, ran], came[i, j, ran] = value, how, from_ran

    for i in range(rows + 1):
        operator = operators[i] if i < rows else None
        for j in range(max(0, i - band), min(columns, i + band) + 1):
            segment = segments[j] if j < columns else None
            for ran in (0, 1):
                here = score[i, j, ran]
                if here == -np.inf:
                    continue
                if segment is not None:
                    lost = _UNATTRIBUTED.get(segment.family, _UNATTRIBUTED_NAMED)
                    reach(i, j + 1, ran, here + lost, 3, ran)
                    if operator is not None:
                        suits = 0.0 if ran else fit(operator.kind, segment.family, segment.functions)
                        if suits:
                            reach(i, j + 1, 1, here + _OWN_KERNEL * suits, 1, ran)
                        if assists(operator.kind, segment.family, operator.activation, before=not ran):
                            reach(i, j + 1, ran, here + _SIDE_WORK, 2, ran)
                if operator is not None:
                    left = 0.0 if ran else _NOT_RUN_DROPPABLE if operator.kind in DROPPABLE else _NOT_RUN
                    reach(i + 1, j, 0, here + left, 0, ran)
    owners: list[int | None] = [None] * columns
    i, j, ran = rows, columns, 0
    while i or j:
        how, from_ran = int(way[i, j, ran]), int(came[i, j, ran])
        if how == 0:
            i -= 1
        else:
            j -= 1
            owners[j] = i if how in (1, 2) else None
        ran = from_ran
    return float(score[rows, columns, 0]), owners

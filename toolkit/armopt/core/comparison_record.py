"""What a comparison says: figures before and after, operators that changed, and what a gate makes of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from armopt.core.record import Record

Outcome = Literal["held", "regressed", "inconclusive"]
Criterion = Literal["latency", "instructions", "operators", "size", "sram", "flash", "accuracy"]

Cause = Literal["new", "gone", "work", "shape", "run", "delegate", "kernel", "bound", "unknown"]
"""Why an operator costs something else: it is new or gone; it multiplies or makes something else (`work`, `shape`); it
runs now, or is fused or left out (`run`); another library (`delegate`) or another `kernel` runs it; something else
limits it (`bound`); or none of these."""


class Change(Record):
    """One figure before and after."""

    criterion: Criterion
    unit: str = Field(description="'ms', 'B', '' for counts; the metric's name for accuracy")
    before: float | None
    after: float | None
    relative: float | None = Field(description="(after - before) / before; None where that has no meaning")
    outcome: Outcome | None = Field(description="None where it was not gated")
    reason: str


class OperatorSide(Record):
    """One operator as one of the two documents has it."""

    index: int | None = Field(description="position in the file; None for the row 'runtime'")
    kind: str
    name: str = Field(description="of its output tensor")
    shape: tuple[int, ...] = Field(description="of its output")
    macs: int | None
    kernel: str | None
    run_by: str | None
    bound: str | None
    instructions: int = Field(description="cycles of the NPU on an Ethos-U")
    latency_ms: float


class OperatorChange(Record):
    """One operator before and after; one of the two is None where it is new or gone."""

    before: OperatorSide | None
    after: OperatorSide | None
    causes: tuple[Cause, ...]
    outcome: Outcome | None = Field(None, description="of operators that do the same work in both; None for all others")

    @property
    def shown(self) -> OperatorSide:
        """The side to name it by."""
        side = self.after or self.before
        assert side is not None
        return side

    @property
    def instructions(self) -> int:
        """How many more it takes now; negative where it takes fewer."""
        return (self.after.instructions if self.after else 0) - (self.before.instructions if self.before else 0)

    @property
    def latency_ms(self) -> float:
        """How much longer it takes now, in milliseconds."""
        return (self.after.latency_ms if self.after else 0.0) - (self.before.latency_ms if self.before else 0.0)


class Comparison(Record):
    """A result beside an earlier one, its baseline."""

    baseline: str = Field(description="the model or node of the earlier document")
    model: str = Field(description="the model or node that was compared with it")
    device: str
    evidence: str
    max_regression: float | None = Field(description="share by which a figure may be worse; None: nothing was gated")
    verdict: Outcome | None = Field(description="over all changes; None where nothing was gated")
    reason: str = Field(description="the changes that decided, in words")
    changes: tuple[Change, ...]
    operators: tuple[OperatorChange, ...] = Field((), description="those that changed, the largest change first")
    notes: tuple[str, ...] = Field((), description="what could not be compared or is not known")

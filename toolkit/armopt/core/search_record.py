"""What a search over strengths found: its trials, their figures, and how sensitive each layer was found to be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from armopt.core.npu import NpuEstimate
from armopt.core.record import Record

Rung = Literal["one-shot", "short", "long"]
"""How much a trial was trained: not at all, a part of its schedule, or all of it."""
RUNGS: tuple[Rung, ...] = ("one-shot", "short", "long")

Strength = float | int | bool
TrialState = Literal["finished", "stopped", "infeasible", "failed"]


DEFAULT_TRIALS = 24


class Effort(Record):
    """How long to search: so many trials, so many seconds, or both, whichever is reached first."""

    trials: int | None = Field(None, ge=1)
    budget_s: float | None = Field(None, gt=0)


class Trial(Record):
    """One choice of strengths, with its figures at the highest rung that it reached. The metric is on val."""

    number: int
    path: str = Field(description="of the leaf that the strengths make, for example 'channels/prune/pqat'")
    strengths: dict[str, Strength]
    on_the_way_of: int | None = Field(
        None, description="number of the trial that it is a part of: a model before its leaf, quantized after training"
    )
    rung: Rung | None = Field(None, description="None where not even the untrained file could be made")
    state: TrialState = Field(
        description="finished: trained to the end; stopped: others were better at the same rung; infeasible: too slow "
        "or too large before any training; failed: it could not be built"
    )
    reason: str = ""
    metric: float | None = Field(None, description="of the .tflite on the val split")
    gz_bytes: int | None = None
    latency_ms: float | None = None
    interval_ms: tuple[float, float] | None = None
    instructions: int | None = None
    npu: NpuEstimate | None = None
    meets_target: bool = False
    seconds: float = Field(0.0, description="wall time of its leaf at all rungs when it was built")

    @property
    def known_latency_ms(self) -> float | None:
        """The latency where its error is known: one of unknown error is never the faster."""
        return self.latency_ms if self.interval_ms is not None else None


class Sensitivity(Record):
    """What one layer or group of channels costs by itself, untrained, on val samples: how much the metric drops."""

    name: str
    kind: Literal["channels", "prune", "cluster"]
    strength: float | int = Field(description="what was done to it: share of channels kept, sparsity, or clusters")
    drop: float | None = Field(
        description="in the metric's unit; negative where it became better; None where no metric was left"
    )


class SearchRecord(Record):
    """One search: every trial in order, what no other beats, and which strengths were trained in full."""

    seed: int
    source_metric: float | None = Field(None, description="the metric of the model as given, on the val split")
    trials: tuple[Trial, ...]
    pareto: tuple[int, ...] = Field((), description="numbers of the trials, trained to the end, that no other beats")
    winner: int | None = Field(None, description="number of the trial that was trained with the full schedule")
    sensitivities: tuple[Sensitivity, ...] = ()
    known_before: int = Field(0, description="trials of earlier searches on the same model, data and device")
    seconds: float = 0.0

    @property
    def winning_trial(self) -> Trial | None:
        """The trial whose number is `winner`."""
        return next((trial for trial in self.trials if trial.number == self.winner), None)

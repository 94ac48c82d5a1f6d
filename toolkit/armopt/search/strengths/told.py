"""What a search aims at: the target's limits bind, and what they leave open is made as good as it can be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from armopt.core.records import Evidence, Metric
from armopt.core.search_record import Trial
from armopt.core.target import Target
from armopt.search.drafts import NPU_MARGIN, SIZE_MARGIN

# Stands for a latency, or for an excess over a limit, that is not known: worse than any that is, and yet a number.
_UNKNOWN = 1e6


@dataclass(frozen=True)
class Goal:
    """What trials are judged by.

    Attributes:
        target: the user's limits.
        metric: the task's.
        source_metric: of the model as given, on val.
        evidence: of the device's figures.
    """

    target: Target
    metric: Metric
    source_metric: float
    evidence: Evidence = "modelled"

    @property
    def before_training(self) -> Target:
        """The limits that an untrained file can already miss: training wins accuracy, and a little size."""
        target = self.target
        update: dict[str, float | None] = {
            "min_accuracy": None,
            "max_drop": None,
            "max_gz_bytes": _widened(target.max_gz_bytes, SIZE_MARGIN),
            "max_sram_bytes": _widened(target.max_sram_bytes, NPU_MARGIN),
            "max_flash_bytes": _widened(target.max_flash_bytes, NPU_MARGIN),
        }
        if self.evidence == "estimated" and target.max_latency_ms is not None:
            update["max_latency_ms"] = target.max_latency_ms / (1 - NPU_MARGIN)
        return target.model_copy(update=update)

    @property
    def width_decides(self) -> bool:
        """True where an untrained file misses no limit that the widest model keeps: none on size, memory, or an NPU."""
        target = self.target
        sizes = (target.max_gz_bytes, target.max_sram_bytes, target.max_flash_bytes)
        return self.evidence == "modelled" and all(limit is None for limit in sizes)


def _widened(limit: int | None, margin: float) -> int | None:
    return None if limit is None else int(limit / (1 - margin))


Direction = Literal["minimize", "maximize"]


def objectives(goal: Goal, trial: Trial | None = None) -> list[tuple[float, Direction]]:
    """Value and direction of all that the target leaves open; the metric where it leaves nothing open.

    In the order in which a winner is chosen. Without a trial the values are zero.
    """
    target = goal.target
    found: list[tuple[float, Direction]] = []
    direction: Direction = "maximize" if goal.metric.higher_is_better else "minimize"
    metric = (trial.metric or 0.0) if trial else 0.0
    if target.min_accuracy is None and target.max_drop is None:
        found.append((metric, direction))
    if target.max_latency_ms is None and target.max_instructions is None:
        known = trial.known_latency_ms if trial else 0.0
        found.append((_UNKNOWN if known is None else known, "minimize"))
    if target.max_gz_bytes is None:
        found.append((float(trial.gz_bytes or 0) if trial else 0.0, "minimize"))
    return found or [(metric, direction)]


def excesses(goal: Goal, trial: Trial) -> dict[str, float]:
    """By how much each limit is missed, as a share of it or in the metric's unit; 0 and less where it is met."""
    target = goal.target
    found: dict[str, float] = {}
    if target.max_latency_ms is not None:
        slowest = _slowest_ms(trial, target)
        found["latency"] = _UNKNOWN if slowest is None else slowest / target.max_latency_ms - 1
    if target.max_instructions is not None:
        counted = trial.instructions
        found["instructions"] = _UNKNOWN if counted is None else counted / target.max_instructions - 1
    if target.max_gz_bytes is not None and trial.gz_bytes is not None:
        found["size"] = trial.gz_bytes / target.max_gz_bytes - 1
    for name, most in (("sram", target.max_sram_bytes), ("flash", target.max_flash_bytes)):
        if most is not None:
            taken = getattr(trial.npu, f"{name}_bytes", None)
            found[name] = _UNKNOWN if taken is None else taken / most - 1
    if trial.metric is not None and target.max_drop is not None:
        found["drop"] = goal.metric.drop(goal.source_metric, trial.metric) - target.max_drop
    if trial.metric is not None and target.min_accuracy is not None:
        found["accuracy"] = goal.metric.drop(target.min_accuracy, trial.metric)
    return found


def _slowest_ms(trial: Trial, target: Target) -> float | None:
    """The upper end of the latency; of an Ethos-U's part alone where the target allows a fallback to the CPU."""
    if trial.interval_ms is None and trial.npu is not None and trial.npu.cycles and target.allow_fallback:
        return trial.npu.npu_ms
    return trial.interval_ms[1] if trial.interval_ms else None


def winners(goal: Goal, trials: list[Trial]) -> list[Trial]:
    """Trials that were trained to the end and meet the target on val, the one to deliver first.

    Accuracy decides where the target leaves it open; where it is bound, the fastest, then the smallest; and the more
    accurate of equals. Where none meets the target, those that miss it by the least.
    """
    ended = [trial for trial in trials if trial.state == "finished"]
    met = [trial for trial in ended if trial.meets_target]

    def order(trial: Trial) -> tuple[float, ...]:
        signed = [-value if direction == "maximize" else value for value, direction in objectives(goal, trial)]
        sign = -1.0 if goal.metric.higher_is_better else 1.0
        return (*signed, sign * (trial.metric or 0.0), float(trial.number))

    if met:
        return sorted(met, key=order)
    return sorted(ended, key=lambda trial: (max([0.0, *excesses(goal, trial).values()]), *order(trial)))

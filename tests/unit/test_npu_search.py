"""A search under the limits of an Ethos-U: memory, and latency that weights change."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from npu_figures import measured

from armopt.core.records import Metric
from armopt.core.search_record import Trial
from armopt.core.target import Target
from armopt.search.drafts import NPU_MARGIN
from armopt.search.strengths.evaluate import Ask, Outcome
from armopt.search.strengths.space import Space
from armopt.search.strengths.study import Study, judged
from armopt.search.strengths.told import Goal, excesses, winners

METRIC = Metric(name="accuracy")


def evaluated(asks: Sequence[Ask]) -> list[Outcome]:
    """Zeros and codes take flash and time away; SRAM is the width's."""
    found = []
    for ask in asks:
        width, sparsity = float(ask.strengths["width"]), float(ask.strengths["sparsity"])
        share = width**2 * (1 - 0.6 * sparsity) * (0.6 if ask.strengths["clusters"] else 1)
        npu = measured(
            cycles=int(900_000 * share), sram_bytes=int(100_000 * width), flash_bytes=int(400_000 * share)
        )  # fmt: skip
        found.append(Outcome("channels/ptq", 0.95 - 0.2 * (1 - share) ** 2, int(300_000 * share), npu))
    return found


def test_the_winner_is_the_most_accurate_that_fits_into_sram_and_flash() -> None:
    target = Target(max_sram_bytes=80_000, max_flash_bytes=120_000)
    goal = Goal(target, METRIC, 0.95, "estimated")
    trials = Study(Space(1.0), goal, evaluated, 1).run(40, None)
    best = winners(goal, trials)[0]
    assert best.npu is not None and best.npu.flash_bytes is not None
    assert best.npu.sram_bytes <= 80_000 and best.npu.flash_bytes <= 120_000
    assert best.meets_target and max(excesses(goal, best).values()) <= 0
    too_large = [trial for trial in trials if trial.state == "infeasible"]
    assert too_large and all("over" in trial.reason for trial in too_large)


def test_an_untrained_file_that_nearly_fits_is_trained() -> None:
    target = Target(max_flash_bytes=60_000, max_sram_bytes=100_000, max_latency_ms=1.0)
    goal = Goal(target, METRIC, 0.95, "estimated")
    for over, hopeless in ((1.0 + NPU_MARGIN / 2, False), (1.0 + 2 * NPU_MARGIN, True)):
        figures = measured(
            cycles=int(500_000 * over), sram_bytes=int(100_000 * over), flash_bytes=int(60_000 * over)
        )  # fmt: skip
        outcome = Outcome("ptq", 0.9, 1, figures)
        assert judged(outcome, goal, target).verdict == "missed"
        assert (judged(outcome, goal, goal.before_training).verdict != "met") is hopeless


def test_what_is_left_to_the_cpu_has_no_latency_to_search_by_unless_allowed() -> None:
    left = measured(fallback_ops=("SIN",))
    trial = Trial(number=0, path="ptq", strengths={}, state="stopped", metric=0.9, gz_bytes=1, npu=left.npu)
    for target, known in (
        (Target(max_latency_ms=2.0), False),
        (Target(max_latency_ms=2.0, allow_fallback=True), True),
    ):
        goal = Goal(target, METRIC, 0.95, "estimated")
        assert (judged(Outcome("ptq", 0.9, 1, left), goal, target).verdict == "met") is known
        assert (excesses(goal, trial)["latency"] == pytest.approx(-0.5)) is known

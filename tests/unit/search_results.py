"""Results of searches that never were, for what shows them."""

from __future__ import annotations

import random
from typing import Any

from armopt.core.records import Metric, Result
from armopt.core.search_record import SearchRecord, Sensitivity, Strength, Trial
from armopt.core.target import Target

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[2J $x^2$"
STRENGTHS: dict[str, Strength] = {
    "width": 0.46, "width_tilt": 0.72, "sparsity": 0.5, "sparsity_tilt": 0.0, "clusters": 16, "clusters_tilt": 0.01,
    "spared": 2, "qat": True, "epochs": 2.0, "distill": 0.5,
}  # fmt: skip


def trial(number: int, **more: Any) -> Trial:
    ms = more.get("latency_ms", 0.8)
    known = {
        "path": "channels/prune/cluster/pcqat", "strengths": STRENGTHS, "rung": "long", "state": "finished",
        "metric": 0.97, "gz_bytes": 45_000, "latency_ms": ms, "meets_target": True,
        "interval_ms": None if ms is None else (round(0.9 * ms, 4), round(1.1 * ms, 4)),
    }  # fmt: skip
    return Trial(number=number, **{**known, **more})


def result_of(trials: list[Trial], **more: Any) -> Result:
    target = more.pop("target", Target(max_latency_ms=1.0, max_drop=0.02))
    finished = [one.number for one in trials if one.state == "finished"]
    record = SearchRecord(
        seed=1, source_metric=0.985, trials=tuple(trials),
        **{"pareto": tuple(finished), "winner": finished[0] if finished else None, **more},
    )  # fmt: skip
    return Result(
        armopt_version="0", device="pi4", runner="qemu", evidence="modelled", model="net", data="digits",
        metric=Metric(name="accuracy"), source_accuracy=0.98, target=target.model_dump(), verdict="met", reason="",
        chosen=None, nodes=(), search=record, out=None, seconds=1.0,
    )  # fmt: skip


def many(same_latency: bool = False) -> Result:
    """24 trials of all states."""
    from armopt.search.choose import Candidate, pareto

    draw, made = random.Random(3), []
    for number in range(24):
        width = draw.uniform(0.3, 1.0)
        ms = 0.8 if same_latency else round(1.3 * width**1.6, 3)
        size = int(110_000 * width * draw.uniform(0.4, 1.0))
        state = "infeasible" if 1.1 * ms > 1 else ("finished", "stopped", "stopped", "failed")[number % 4]
        metric = 0.985 - 0.06 * (1 - width) ** 2 - draw.uniform(0, 0.01) if state == "finished" else draw.random()
        figures: dict[str, Any] = {"metric": metric, "gz_bytes": size, "latency_ms": ms, "meets_target": metric > 0.96}
        if state == "failed":
            figures = {"metric": None, "gz_bytes": None, "latency_ms": None, "rung": None, "meets_target": False}
        made.append(trial(number, state=state, **figures))
    finished = [one for one in made if one.state == "finished"]
    points = [Candidate(str(one.number), one.metric or 0, one.gz_bytes or 0, one.latency_ms) for one in finished]
    best = tuple(int(number) for number in pareto(points, Metric(name="accuracy")))
    sensitive = tuple(
        Sensitivity(
            name=f"{kind}{HOSTILE}{place}", kind=kind, strength=strength, drop=None if place > 3 else place / 20
        )
        for kind, strength in (("channels", 0.5), ("prune", 0.8), ("cluster", 6))
        for place in range(5)
    )  # type: ignore[arg-type]
    return result_of(made, pareto=best, winner=best[0], sensitivities=sensitive, known_before=7)

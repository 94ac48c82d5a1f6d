"""Which sampler a search should ask, and what first guesses are worth: a simulation, in a minute and without training.

    python benchmarks/samplers.py [--seeds 24] [--budgets 6 12 20 30]

Accuracy and size are simple functions of the strengths, with noise on accuracy, shaped like the digits model's: little
is lost until little is left. Median hypervolume, as in search.py, after so many trained trials; `guesses and ...` are
searches as armopt makes them with that sampler after its first guesses, `random` draws strengths and trains each.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler
from search import Point, hypervolume

from armopt.core.records import Latency, Measurement, Metric
from armopt.core.search_record import Rung, Strength
from armopt.core.target import Target
from armopt.search.strengths.evaluate import Ask, Outcome
from armopt.search.strengths.recipe import on_the_way
from armopt.search.strengths.space import Space
from armopt.search.strengths.study import Study, tpe
from armopt.search.strengths.told import Goal

WHOLE = Point(0.983, 110_000)
GOAL = Goal(Target(max_latency_ms=4.0), Metric(name="accuracy"), WHOLE.accuracy)
SPACE = Space(0.8)
RUNGS: tuple[Rung, ...] = ("one-shot", "long")
SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "TPE after 1": lambda seed: tpe(seed, 1),
    "TPE after 8": lambda seed: tpe(seed, 8),
    "TPE after 12": tpe,
    "NSGA-II": lambda seed: NSGAIISampler(seed=seed, population_size=6),
    "quasi-random": lambda seed: QMCSampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}


class Simulated:
    """Stands for training and measuring."""

    def __init__(self, seed: int) -> None:
        self._noise = np.random.default_rng(seed)
        self.trained = 0
        self._on_the_way: list[dict[str, Strength]] = []

    def __call__(self, asks: Sequence[Ask]) -> list[Outcome]:
        """Figures of all that is asked."""
        return [self._outcome(ask.strengths, ask.rung) for ask in asks]

    def _outcome(self, strengths: Mapping[str, Strength], rung: Rung) -> Outcome:
        width, clusters = float(strengths["width"]), int(strengths["clusters"])
        sparsity = float(strengths["sparsity"]) if strengths["sparsity"] >= 0.3 else 0.0
        codes = 0.45 + 0.1 * np.log2(clusters / 8) if clusters else 1.0
        size = 110_000 * (0.8 * width**2 + 0.2 * width) * (1 - 0.75 * sparsity) * codes + 3_000
        left = width**1.5 * (1 - 0.8 * sparsity**1.5) * (1 - (3 / clusters if clusters else 0))
        accuracy = 0.985 - 0.25 * np.exp(-8 * left) + (0.003 if strengths["qat"] else 0)
        accuracy += 0.003 * np.log2(float(strengths["epochs"])) + self._noise.normal(0, 0.004)
        if rung == "one-shot":
            accuracy = self._noise.uniform(0.1, 0.3) + 0.3 * left
        elif strengths not in self._on_the_way:
            self.trained += 1
            self._on_the_way += on_the_way(strengths)
        ms = 5 * width**1.8
        measured = Measurement(
            device="pi4", runner="qemu", evidence="modelled", runtime="none", threads=1, freq_mhz=1800, seconds=0.0,
            latency_ms=Latency(p50=ms), interval_ms=(0.9 * ms, 1.1 * ms),
        )  # fmt: skip
        return Outcome("channels/ptq", float(min(accuracy, 1.0)), int(size), measured)


def searched(sampler: BaseSampler, budget: int, seed: int) -> float:
    """Hypervolume of a search that may train so many trials, with what lies on the way of all but the last."""
    made = Simulated(seed)
    study = Study(SPACE, GOAL, made, seed, clock=lambda: float(made.trained), rungs=RUNGS, at_once=1, sampler=sampler)
    ended = [trial for trial in study.run(None, budget) if trial.state == "finished" and trial.meets_target]
    return hypervolume([Point(trial.metric or 0.0, trial.gz_bytes or 0) for trial in ended], WHOLE)


def drawn(budget: int, seed: int) -> float:
    """The same of strengths at random."""
    made, study = Simulated(seed), optuna.create_study(sampler=RandomSampler(seed=seed))
    asks = [Ask(number, study.ask(SPACE.distributions()).params, "long") for number in range(budget)]
    return hypervolume([Point(one.metric or 0.0, one.gz_bytes or 0) for one in made(asks)], WHOLE)


def main() -> None:
    """Simulate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--budgets", type=int, nargs="+", default=[6, 12, 20, 30])
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"| trained trials | {' | '.join(map(str, options.budgets))} |\n|---|{'---|' * len(options.budgets)}")

    def row(name: str, volume: Callable[[int, int], float]) -> None:
        cells = (statistics.median(volume(budget, seed) for seed in range(options.seeds)) for budget in options.budgets)
        print(f"| {name} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)

    row("random", drawn)
    for name, make in SAMPLERS.items():
        row(f"guesses and {name}", lambda budget, seed, make=make: searched(make(seed), budget, seed))  # type: ignore[misc]


if __name__ == "__main__":
    main()

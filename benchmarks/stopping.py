"""What the stopping rule of core/stopping.py decides on simulated boards: false verdicts and rounds used.

    python benchmarks/stopping.py --repeats 2000 --workers 2

A board times 10 ms in the median, with 2% of noise unless its name says otherwise. Limits are relative to the true
quantile of one inference in the long run: "met" at a limit below it is a false pass.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from armopt.core.quantiles import ALLOWED_OVER
from armopt.core.records import Percentile
from armopt.core.stopping import Claim, decide

Array = NDArray[np.float64]
Random = np.random.Generator
BASE_MS, NOISE = 10.0, 0.02


@dataclass(frozen=True)
class Board:
    """A simulated board: `draw(random, rounds, inferences)` in ms, `sample(random, count)` of its long run."""

    name: str
    draw: Callable[[Random, int, int], Array]
    sample: Callable[[Random, int], Array]
    inferences: int = 100


def first_order(random: Random, rounds: int, inferences: int, phi: float) -> Array:
    """A standard normal AR(1) series that runs on from round to round."""
    steps = random.standard_normal(rounds * inferences) * (1 - phi**2) ** 0.5
    steps[0] = random.standard_normal()
    series: Array = lfilter([1.0], [1.0, -phi], steps)
    return series.reshape(rounds, inferences)


def normal(scores: Array) -> Array:
    """Latencies with normal noise."""
    return BASE_MS * (1 + NOISE * scores)


def white(random: Random, *shape: int) -> Array:
    """Independent standard normal numbers."""
    return random.standard_normal(shape)


def slow_and_white(random: Random, rounds: int, inferences: int) -> Array:
    """Half of the variance wanders slowly, half is independent from inference to inference."""
    return (first_order(random, rounds, inferences, 0.99) + white(random, rounds, inferences)) / 2**0.5


def offsets(random: Random, rounds: int, inferences: int, share: float) -> Array:
    """Each process has a level of its own, which makes `share` of the variance."""
    return share**0.5 * white(random, rounds, 1) + (1 - share) ** 0.5 * white(random, rounds, inferences)


def tails(random: Random, *shape: int) -> Array:
    """Log-normal latencies with a standard deviation of 20%."""
    return BASE_MS * np.exp(0.2 * random.standard_normal(shape))


def spikes(random: Random, *shape: int) -> Array:
    """Three inferences in a hundred take half as long again."""
    return normal(white(random, *shape)) * np.where(random.random(shape) < 0.03, 1.5, 1.0)


def step(random: Random, rounds: int, inferences: int, rise: float) -> Array:
    """Throttling after one to five rounds."""
    after = np.arange(rounds) >= random.integers(1, 6)
    return normal(white(random, rounds, inferences)) * np.where(after, 1 + rise, 1.0)[:, None]


def ramp(random: Random, rounds: int, inferences: int, rise: float) -> Array:
    """Latency rises evenly over thirty rounds."""
    grown = 1 + rise * np.minimum(np.arange(rounds), 29) / 29
    return normal(white(random, rounds, inferences)) * grown[:, None]


def scaled(random: Random, count: int, factor: float) -> Array:
    """The long run of a throttled board."""
    return factor * normal(white(random, count))


def plain(random: Random, count: int) -> Array:
    """The long run of all boards with normal noise, however it is correlated."""
    return normal(white(random, count))


def of_scores(random: Random, rounds: int, inferences: int, scores: Callable[..., Array]) -> Array:
    """Latencies from correlated standard normal numbers."""
    return normal(scores(random, rounds, inferences))


def correlated(name: str, scores: Callable[..., Array], inferences: int = 100) -> Board:
    """A board with normal noise that is correlated somehow."""
    return Board(name, partial(of_scores, scores=scores), plain, inferences)


STEADY = [
    correlated("independent", white),
    correlated("independent, 20 a round", white, 20),
    *(
        correlated(f"AR(1) {phi}, {count} a round", partial(first_order, phi=phi), count)
        for phi, count in ((0.9, 100), (0.99, 50), (0.99, 200))
    ),
    correlated("AR(1) 0.99 and white, 50 a round", slow_and_white, 50),
    *(correlated(f"process offsets, {share:.0%} of variance", partial(offsets, share=share)) for share in (0.1, 0.9)),
    Board("log-normal, 20%", tails, tails),
    Board("3% spikes of +50%", spikes, spikes),
]
# Their limits lie between the latency at first and the one in the long run: "met" is a false pass.
CHANGING = [
    Board("throttled by 20% after 1 to 5 rounds", partial(step, rise=0.2), partial(scaled, factor=1.2)),
    Board("throttled by 60% after 1 to 5 rounds", partial(step, rise=0.6), partial(scaled, factor=1.6)),
    Board("rising by 20% over 30 rounds", partial(ramp, rise=0.2), partial(scaled, factor=1.2)),
    Board("rising by 60% over 30 rounds", partial(ramp, rise=0.6), partial(scaled, factor=1.6)),
]
BESIDE = -0.001  # of the true quantile: "met" is false there, and "missed" as hard to tell
# Limits further off, relative to the true quantile, and the true verdict.
LIMITS = ((-0.05, "missed"), (0.01, "met"), (0.05, "met"), (0.2, "met"))
FURTHER = 5  # of so many measurements one is repeated there: only false verdicts are rare
PERCENTILES: tuple[Percentile, ...] = ("p50", "p95")


def quantile(board: Board, percentile: Percentile) -> float:
    """The true quantile of one inference, by four million independent ones."""
    share = 1 - ALLOWED_OVER[percentile]
    return float(np.quantile(board.sample(np.random.default_rng(0), 4_000_000), share))


def outcome(board: Board, claim: Claim, seed: int) -> tuple[str, int]:
    """The verdict and the number of rounds of one simulated measurement."""
    drawn = board.draw(np.random.default_rng(seed), claim.max_rounds, board.inferences).tolist()
    for count in range(claim.fewest_rounds, claim.max_rounds + 1):
        decision = decide(drawn[:count], claim)
        if decision.finished:
            return str(decision.verdict), count
    raise AssertionError("the last round finishes")


def outcomes(pool: ProcessPoolExecutor, board: Board, claim: Claim, repeats: int) -> tuple[Counter[str], float]:
    """How often each verdict came, and the median of the rounds used."""
    found = list(pool.map(partial(outcome, board, claim), range(repeats), chunksize=20))
    return Counter(verdict for verdict, _ in found), float(np.median([count for _, count in found]))


def print_steady(pool: ProcessPoolExecutor, repeats: int) -> None:
    """Verdicts just beside the quantile, and how fast true ones come further off."""
    heads = [f"met at {BESIDE:+.1%} (false)", f"missed at {BESIDE:+.1%}", "unstable"]
    heads += [f"{verdict} at {limit:+.0%}, rounds" for limit, verdict in LIMITS]
    print("| board | claim | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 2) + "|", flush=True)
    for board in STEADY:
        for percentile in PERCENTILES:
            true = quantile(board, percentile)
            beside, _ = outcomes(pool, board, Claim(limit_ms=true * (1 + BESIDE), percentile=percentile), repeats)
            cells = [f"{beside[verdict] / repeats:.1%}" for verdict in ("met", "missed", "unstable")]
            for limit, verdict in LIMITS:
                claim = Claim(limit_ms=true * (1 + limit), percentile=percentile)
                verdicts, rounds = outcomes(pool, board, claim, repeats // FURTHER)
                cells.append(f"{verdicts[verdict] / (repeats // FURTHER):.1%}, {rounds:g}")
            print(f"| {board.name} | {percentile} | {' | '.join(cells)} |", flush=True)


def print_changing(pool: ProcessPoolExecutor, repeats: int) -> None:
    """Boards that become slower while they are measured."""
    names = ("met", "missed", "inconclusive", "unstable")
    print("\n| board | claim | " + " | ".join(names) + " | rounds |")
    print("|---" * (len(names) + 3) + "|", flush=True)
    for board in CHANGING:
        limit_ms = (BASE_MS + quantile(board, "p50")) / 2
        for percentile in PERCENTILES:
            verdicts, rounds = outcomes(pool, board, Claim(limit_ms=limit_ms, percentile=percentile), repeats)
            shares = " | ".join(f"{verdicts[name] / repeats:.1%}" for name in names)
            print(f"| {board.name} | {percentile} | {shares} | {rounds:g} |", flush=True)


def main() -> None:
    """Simulate all boards and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers) as pool:
        print_steady(pool, options.repeats)
        print_changing(pool, options.repeats)


if __name__ == "__main__":
    main()

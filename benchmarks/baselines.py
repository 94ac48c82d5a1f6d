"""How often a comparison with a baseline is wrong: on simulated boards, and on emulated ones as CI runs them.

    python benchmarks/baselines.py --repeats 2000        # pairs of simulated board runs
    python benchmarks/baselines.py --ci                  # 20 rebuilds, and the workflow from an empty and a full cache

A simulated board times 10 ms in the median; its rounds have a coefficient of variation of 3%. `--max-regression` is 1%.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import ci_steps
import gate_models
from armopt.core.baseline import compare
from armopt.core.subject import Setting, Subject

Random = np.random.Generator
LEVEL_MS, NOISE, ALLOWED = 10.0, 0.03, 0.01
OUTCOMES = ("regressed", "inconclusive", "held")
REBUILDS = 20


def rounds(random: Random, count: int, correlation: float, inferences: int, slower: float) -> NDArray[np.float64]:
    """(rounds, inferences) ms: a first-order series of processes, as noisy again within each where it times several."""
    levels = np.empty(count)
    levels[0] = random.standard_normal()
    for number in range(1, count):
        levels[number] = correlation * levels[number - 1] + (1 - correlation**2) ** 0.5 * random.standard_normal()
    within = random.standard_normal((count, inferences)) if inferences > 1 else np.zeros((count, 1))
    timed: NDArray[np.float64] = LEVEL_MS * (1 + slower) * (1 + NOISE * levels[:, None]) * (1 + NOISE * within)
    return timed


def subject(timed: NDArray[np.float64]) -> Subject:
    """What a measurement of these rounds is compared by."""
    setting = Setting(device="simulated", evidence="measured", threads=1, runtime="none 1")
    listed = tuple(tuple(each) for each in timed.tolist())
    return Subject(model="net", setting=setting, latency_ms=float(np.median(timed)), rounds=listed)


def cases() -> Iterator[tuple[int, int, float, int]]:
    """Rounds before, rounds now, their correlation, inferences a round."""
    for correlation in (0.0, 0.3, 0.5, 0.7, 0.9):
        yield 30, 30, correlation, 1
    yield 30, 30, 0.0, 20
    for correlation in (0.0, 0.3, 0.5):
        yield 12, 12, correlation, 1
    for correlation in (0.0, 0.5):
        yield 6, 6, correlation, 1
        yield 8, 30, correlation, 1


def simulate(repeats: int) -> None:
    """Print the table of outcomes."""
    print("| rounds | correlation | equal speed: regressed | inconclusive | held | 5% slower: regressed | ", end="")
    print("inconclusive | held |\n|---|---|---|---|---|---|---|---|", flush=True)
    random = np.random.default_rng(1)
    for before, after, correlation, inferences in cases():
        cells = []
        for slower in (0.0, 0.05):
            found: Counter[str | None] = Counter()
            for _ in range(repeats):
                sides = [
                    subject(rounds(random, count, correlation, inferences, rise))
                    for count, rise in ((before, 0.0), (after, slower))
                ]
                found[compare(sides[0], sides[1], ALLOWED).verdict] += 1
            cells += [f"{found[outcome] / repeats:.1%}" for outcome in OUTCOMES]
        what = f"{before} and {after}" + (f", {inferences} inferences each" if inferences > 1 else "")
        print(f"| {what} | {correlation:g} | {' | '.join(cells)} |", flush=True)


def gate_in_ci(install: bool) -> None:
    """Print what the gate says of the same model rebuilt and of a slower one, and what the workflow takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"net-{seed}" for seed in range(1, REBUILDS + 1)]
        gate_models.build(folder, "net", "slower", *names)
        measured = measure(folder / "net.tflite")
        baseline = folder / "baseline.json"
        baseline.write_text(measured.stdout)
        exits: Counter[int] = Counter()
        counts, sizes = set(), []
        for each in names:
            done = measure(folder / f"{each}.tflite", "--baseline", str(baseline), "--max-regression", "1%")
            exits[done.returncode] += 1
            told = json.loads(done.stdout)
            counts.add(told["instructions"])
            sizes.append(told["gz_bytes"])
        slower = measure(folder / "slower.tflite", "--baseline", str(baseline), "--max-regression", "1%")
        reasons = json.loads(slower.stdout)["comparison"]["changes"]
        print("| what | result |\n|---|---|")
        print(f"| rebuilds of the same model that pass | {exits[0]} of {REBUILDS} |")
        print(f"| instructions of them | {', '.join(f'{count:,}' for count in sorted(counts))} |")
        print(f"| their sizes (gzip) | {min(sizes):,} to {max(sizes):,} |")
        print(f"| one more block | exit {slower.returncode}: {reasons[1]['reason']} |", flush=True)
        for what, seconds in workflow(folder, install):
            print(f"| {what} | {seconds:.0f} s |", flush=True)


def measure(model: Path, *further: str) -> subprocess.CompletedProcess[str]:
    """The command, as a process of its own."""
    command = [sys.executable, "-m", "armopt", "measure", str(model), "--device", "pi4", "--emulate"]
    return subprocess.run([*command, "--by-operator", "--json", *further], capture_output=True, text=True)


def workflow(folder: Path, install: bool) -> Iterator[tuple[str, float]]:
    """Seconds of the GitHub workflow's own steps."""
    (folder / "model.tflite").write_bytes((folder / "net.tflite").read_bytes())
    cache = folder / "cache"
    if install:
        began = time.monotonic()
        checkout = Path(__file__).resolve().parents[1]
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        pip = [str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", str(checkout)]
        subprocess.run(pip, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        yield "installing armopt into an empty environment", time.monotonic() - began
    for what, offline in (("from an empty cache", False), ("from a full cache, the network refused", True)):
        began = time.monotonic()
        code, told = ci_steps.run_steps(ci_steps.github()[1], folder, cache, offline=offline)
        assert code == 0, told
        yield f"the workflow's steps {what}", time.monotonic() - began


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--ci", action="store_true", help="the gate on the emulator instead")
    parser.add_argument("--install", action="store_true", help="with --ci: time the installation, too")
    options = parser.parse_args()
    if options.ci:
        gate_in_ci(options.install)
    else:
        simulate(options.repeats)


if __name__ == "__main__":
    main()

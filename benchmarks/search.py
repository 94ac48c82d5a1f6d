"""Search over strengths against chance and against the fixed tree, at the same budget: hypervolume of what was found.

    python benchmarks/search.py [--seeds 1 2 3] [--limit 0.6] [--budget 240]        the built-in digits model
    ARMOPT_SHARED=../shared python benchmarks/search.py --fashion resnet8 --samples 5000 --least 0.7 --min-steps 100

All three have the same seconds, on an empty store each, and score files on val alone. The fixed tree builds its
leaves below the width that is solved for, then below four fifths of it, and so on. Random strengths are drawn from the
search's own space and trained to the end. What the search measures before its first trial counts as its time.
Hypervolume: of INT8 accuracy on val above `--least`, and of bytes below those of plain quantization, both as shares.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from armopt.catalog.devices import find_device
from armopt.catalog.profiles import find_profile
from armopt.catalog.search_path import cache_dir
from armopt.core.events import Event, Note
from armopt.core.records import Measurement
from armopt.core.search_record import Effort
from armopt.core.stages import TRAINING_STAGES
from armopt.core.target import Target
from armopt.core.tree import Tree
from armopt.preparing import prepare_run
from armopt.search.device_runs import DeviceRuns
from armopt.search.drafts import UNSCORED, Drafts
from armopt.search.nodes import NodeBuilder
from armopt.search.outlook import Outlook
from armopt.search.store import Store
from armopt.search.strengths.evaluate import ON_VAL, Ask, Evaluator, building
from armopt.search.strengths.space import Space
from armopt.searching import search_strengths

CONTENDERS = ("tree", "random", "search")
# The fixed tree's next width, as a share of the last.
NARROWER = 0.8


@dataclass(frozen=True)
class Point:
    """A file that meets the limit on latency."""

    accuracy: float
    gz_bytes: int


@dataclass(frozen=True)
class Subject:
    """What all contenders make small: a model (None: the one that belongs to the data), its data and preprocessing."""

    model: Path | None = None
    data: Path | str = "digits"
    preprocess: str = "none"


class Bench:
    """One seed on one empty store."""

    def __init__(self, subject: Subject, folder: Path, limit: float, seed: int, min_steps: int | None) -> None:
        model, data = subject.model, subject.data
        self.ready = prepare_run(model, data, cache_dir(), None, None, subject.preprocess, None, False, _quiet)
        kind = find_device("pi4")
        self.store = Store(folder / "store")
        plan = find_profile("default").with_width_step(kind.core.channel_step)
        plan = plan.with_settings({"seed": seed, **({} if min_steps is None else {"min_steps": min_steps})})
        self.builder = NodeBuilder(
            self.ready.source, self.ready.data, self.ready.task, plan, {}, False, self.store, _quiet
        )
        self.runs = DeviceRuns(kind, self.ready.data, self.ready.task, 1, False, self.store, _quiet)
        ptq = self.builder.build("ptq")
        whole = self.runs.measurement(ptq).interval_ms
        assert whole is not None and ptq.audit is not None
        self.whole = Point(ptq.metrics["int8_val"], ptq.audit.gz_bytes)
        self.target = Target(max_latency_ms=round(whole[1] * limit, 4))
        self.plan = plan.under(self.target)
        drafts = Drafts(lambda settings: self.builder.apart(UNSCORED, settings), self.runs.draft, _quiet)
        self.outlook = Outlook(self.builder, drafts, self.target, True, _quiet)
        self.width, _ = self.outlook.widest("channels", "channels/ptq")

    def points(self, name: str, budget_s: float, seed: int) -> list[Point]:
        """What a contender found that is fast enough."""
        if name == "tree":
            return self.tree(budget_s)
        return self.chance(budget_s, seed) if name == "random" else self.search(Effort(budget_s=budget_s))

    def tree(self, budget_s: float) -> list[Point]:
        """Leaves of the fixed tree that are fast enough, at one width after the other, for so many seconds."""
        assert self.width is not None
        found: list[Point] = []
        began, width, built = time.monotonic(), self.width, 0
        paths = [path for path in Tree(self.plan.tree).cheapest_first(TRAINING_STAGES) if path.startswith("channels/")]
        while True:
            nodes = {**self.plan.nodes, "channels": {**self.plan.nodes.get("channels", {}), "width": width}}
            builder = self.builder.apart(ON_VAL, profile=self.plan.model_copy(update={"nodes": nodes}))
            for path in paths:
                if time.monotonic() - began >= budget_s:
                    print(f"  tree: {built} leaves", file=sys.stderr)
                    return found
                leaf = builder.build(path)
                assert leaf.audit is not None
                built += 1
                found += self._fast_enough(leaf.metrics["int8_val"], leaf.audit.gz_bytes, self.runs.draft(leaf))
            width *= NARROWER

    def _fast_enough(self, accuracy: float | None, gz_bytes: int | None, measured: Measurement | None) -> list[Point]:
        bounds, limit = measured.interval_ms if measured else None, self.target.max_latency_ms
        return [Point(accuracy or 0.0, gz_bytes or 0)] if bounds and limit and bounds[1] <= limit else []

    def search(self, effort: Effort, listener: Callable[[Event], None] | None = None) -> list[Point]:
        """Finished trials of a search that are fast enough."""
        runs = replace(self.runs, listener=listener or _told)
        made = search_strengths(
            self.ready, self.builder, self.plan, runs, self.outlook, self.target, effort, self.builder, {}
        )
        return [
            Point(trial.metric or 0.0, trial.gz_bytes or 0)
            for trial in made.record.trials
            if trial.state == "finished" and trial.meets_target
        ]

    def chance(self, budget_s: float, seed: int) -> list[Point]:
        """Random strengths, each trained to the end, for so many seconds."""
        import optuna

        space = Space(self.width)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        evaluate = Evaluator(self.plan, tuple, building(self.builder, self.builder), self.runs.draft, {})
        found: list[Point] = []
        began, number = time.monotonic(), 0
        while time.monotonic() - began < budget_s:
            strengths = study.ask(space.distributions()).params
            [outcome] = evaluate([Ask(number, strengths, "long")])
            number += 1
            found += self._fast_enough(outcome.metric, outcome.gz_bytes, outcome.measured)
        print(f"  random: {number} trained", file=sys.stderr)
        return found


def hypervolume(points: Sequence[Point], whole: Point, least: float) -> float:
    """Share of the rectangle between (`least` accuracy, `whole` bytes) and (1, no bytes) that the points dominate."""
    area, reached = 0.0, least
    for point in sorted(points, key=lambda one: (one.gz_bytes, -one.accuracy)):
        if point.accuracy > reached and point.gz_bytes < whole.gz_bytes:
            area += (point.accuracy - reached) / (1 - least) * (1 - point.gz_bytes / whole.gz_bytes)
            reached = point.accuracy
    return area


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--limit", type=float, default=0.6, help="latency, as a share of plain quantization's upper end"
    )
    parser.add_argument("--fashion", choices=("resnet8", "v1", "v2"), help="a model trained on Fashion-MNIST")
    parser.add_argument("--samples", type=int, help="of Fashion-MNIST to train on, so many at random; default: all")
    parser.add_argument("--least", type=float, default=0.9, help="accuracy on val that counts as nothing")
    parser.add_argument("--min-steps", type=int, help="of each stage; default: the profile's")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS, help="one to a core: same seconds")
    parser.add_argument("--budget", type=float, default=240.0, help="seconds for each of the three")
    options = parser.parse_args()
    subject = _subject(options)
    print(f"| seed | {' | '.join(options.only)} |\n|---|{'---|' * len(options.only)}", flush=True)
    table: dict[str, list[float]] = {name: [] for name in options.only}
    for seed in options.seeds:
        for name in options.only:
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(subject, Path(folder), options.limit, seed, options.min_steps)
                found = bench.points(name, options.budget, seed)
                table[name].append(hypervolume(found, bench.whole, options.least))
            told = " ".join(f"{one.accuracy:.4f}/{one.gz_bytes:,}" for one in found)
            print(f"seed {seed}, {name}: {table[name][-1]:.4f} of {told}", file=sys.stderr, flush=True)
        print(f"| {seed} | {' | '.join(f'{table[name][-1]:.4f}' for name in options.only)} |", flush=True)
    print(f"| median | {' | '.join(f'{statistics.median(table[name]):.4f}' for name in options.only)} |")


def _subject(options: argparse.Namespace) -> Subject:
    if options.fashion is None:
        return Subject()
    from fashion_models import fashion

    model, data = fashion(options.fashion, Path(os.environ.get("ARMOPT_SHARED", "../shared")), options.samples)
    return Subject(model, data, "signed")


def _quiet(event: Event) -> None:
    pass


def _told(event: Event) -> None:
    if isinstance(event, Note):
        print(f"  {event.text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

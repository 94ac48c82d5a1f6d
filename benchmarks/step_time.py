"""What a training step under promises costs beside the plain step of the same model: `against_tfmot.py --step-time`.

All variants of a model are compiled in one process and take their steps in turn (A B C A B C ...), so that whatever
else the machine does falls on all of them alike. Medians; the ratio is the median over rounds of one variant's step
over its baseline's step of the same round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comparison_models
import numpy as np
import tfmot_chain as tfm

import armopt
from armopt.compress.backend import keras, tf

# What the project promises: docs/adr/003-projection.md and the budget of a constrained step.
BUDGET = 1.15
KMEANS_BUDGET_S = 1.0
_WARM_UP = 3

Step = Callable[[], None]


@dataclass(frozen=True)
class Variant:
    """A way to train the model, and the variant that it is held against."""

    name: str
    baseline: str
    step: Step
    budgeted: bool


def main() -> None:
    """Time all variants and print their table; exit 1 where one of armopt's is over budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ds-cnn", action="store_true")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--clusters", type=int, default=16)
    options = parser.parse_args()
    which: comparison_models.Which = "ds-cnn" if options.ds_cnn else "digits"
    variants = _variants(which, options.sparsity, options.clusters)
    times = _in_turn(variants, options.rounds)
    over = _print_steps(which, variants, times, options.rounds)
    over = _print_kmeans() or over
    raise SystemExit(1 if over else 0)


def _variants(which: comparison_models.Which, sparsity: float, clusters: int) -> list[Variant]:
    source, data = comparison_models.load(which)
    batch = 32 if which == "digits" else 100
    x, y = data.train.x[0][:batch], data.train.y[0][:batch]
    untrained = {"epochs": 0, "min_steps": 0}
    # Quantization-aware training that trains nothing makes no fake-quant model: one step it has to be.
    one_step = {"epochs": 1, "min_steps": 0, "batch_size": batch, "learning_rate": 1e-9}
    few = (x, y)

    promised = {
        "zeros": armopt.prune(source, few, sparsity=sparsity, **untrained),
        "tensor clusters": armopt.cluster(source, few, clusters=clusters, clustering="tensor", **untrained),
        "shared codes": armopt.cluster(source, few, clusters=clusters, **untrained),
    }
    promised["zeros and shared codes"] = armopt.cluster(promised["zeros"], few, clusters=clusters, **untrained)

    def plain(model: Any) -> Step:
        return _compiled(model, x, y)

    def constrained(model: Any) -> Step:
        return _compiled(model, x, y, armopt.ConstraintsCallback())

    def fresh() -> Any:
        copy = keras.models.clone_model(source)
        copy.set_weights(source.get_weights())
        return copy

    variants = [Variant("float", "float", plain(fresh()), False)]
    variants += [Variant(name, "float", constrained(model), True) for name, model in promised.items()]
    variants.append(Variant("QAT", "QAT", plain(armopt.quantize(source, few, **one_step)), False))
    variants += [
        Variant(f"QAT, {name}", "QAT", constrained(armopt.quantize(model, few, **one_step)), True)
        for name, model in promised.items()
    ]
    strengths = tfm.Strengths(sparsity=sparsity, clusters=clusters)
    pruning = tfm.pruning_model(fresh(), 10 * batch, strengths)
    clustered = tfm.tfmot.clustering.keras.strip_clustering(tfm.clustering_model(fresh(), strengths, False))
    variants += [
        Variant(
            "TFMOT pruning wrapper",
            "float",
            _compiled(pruning, x, y, tfm.tfmot.sparsity.keras.UpdatePruningStep()),
            False,
        ),
        Variant("TFMOT clustering wrapper", "float", plain(tfm.clustering_model(fresh(), strengths, False)), False),
        Variant("TFMOT QAT", "TFMOT QAT", plain(tfm.fake_quant_model(fresh())), False),
        Variant("TFMOT CQAT", "TFMOT QAT", plain(tfm.fake_quant_model(clustered, {"cluster"})), False),
    ]
    return variants


def _compiled(model: Any, x: Any, y: Any, callback: Any = None) -> Step:
    """One training step of `model` on the same batch, compiled, with what the callback does at a batch's start."""
    model.compile(keras.optimizers.Adam(1e-5), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if callback is not None:
        callback.set_model(model)
        callback.on_train_begin()
    function = model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((x, y)).cache().repeat())

    def step() -> None:
        if callback is not None:
            callback.on_train_batch_begin(0)
        # Reading the loss waits for the step.
        float(function(batches)["loss"])

    return step


def _in_turn(variants: list[Variant], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every step by variant, warm-up left out."""
    times: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for number in range(_WARM_UP + rounds):
        # Backwards every other round: a neighbour's caches shall not favour the same variant each time.
        for variant in variants if number % 2 else reversed(variants):
            started = time.perf_counter()
            variant.step()
            if number >= _WARM_UP:
                times[variant.name].append((time.perf_counter() - started) * 1e3)
        print(f"round {number + 1} of {_WARM_UP + rounds}", file=sys.stderr, end="\r", flush=True)
    print(file=sys.stderr)
    return times


def _print_steps(which: str, variants: list[Variant], times: dict[str, list[float]], rounds: int) -> bool:
    print(f"Training step of {which}, {rounds} rounds in turn; budget {BUDGET:.2f} of the baseline's step\n")
    print("| step | against | ms, median | ratio, median | quartiles | budget |\n|---|---|---|---|---|---|")
    over = False
    for variant in variants:
        own, base = times[variant.name], times[variant.baseline]
        ratios = [one / other for one, other in zip(own, base, strict=True)]
        ratio, (low, _, high) = statistics.median(ratios), statistics.quantiles(ratios, n=4)
        kept = "" if not variant.budgeted else "within" if ratio <= BUDGET else "OVER"
        over = over or kept == "OVER"
        print(
            f"| {variant.name} | {variant.baseline} | {statistics.median(own):.1f} | {ratio:.3f} "
            f"| {low:.3f} to {high:.3f} | {kept} |"
        )
    return over


def _print_kmeans() -> bool:
    """Clustering of one kernel of a million weights into 32 clusters, as a whole stage without training."""
    model = keras.Sequential([keras.layers.Input((1000,)), keras.layers.Dense(1000, name="dense")])
    few = (np.random.default_rng(1).normal(size=(32, 1000)).astype(np.float32), np.arange(32) % 10)
    print(f"\nClustering of 1,000,000 weights into 32 clusters; budget {KMEANS_BUDGET_S:.0f} s\n")
    print("| how | s | budget |\n|---|---|---|")
    over = False
    armopt.prune(model, few, epochs=0, min_steps=0)  # what is loaded on first use is no part of it
    for clustering in ("shared", "tensor", "channel"):
        started = time.perf_counter()
        armopt.cluster(model, few, clusters=32, clustering=clustering, epochs=0, min_steps=0)
        seconds = time.perf_counter() - started
        # A codebook for each of 1,000 channels is 1,000 clusterings; the budget speaks of one.
        kept = "" if clustering == "channel" else "within" if seconds < KMEANS_BUDGET_S else "OVER"
        over = over or kept == "OVER"
        print(f"| armopt, {clustering} | {seconds:.2f} | {kept} |")
    started = time.perf_counter()
    tfm.clustering_model(model, tfm.Strengths(clusters=32), False)
    print(f"| TFMOT, KMEANS_PLUS_PLUS | {time.perf_counter() - started:.2f} | |")
    return over


if __name__ == "__main__":
    main()

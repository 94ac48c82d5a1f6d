"""The cases in which hand-written TFMOT chains lose structure or stop, each run as its guides say.

`python benchmarks/tfmot_failures.py CASE` runs one and prints `fails` or `holds` and what was found; `against_tfmot.py
--failures` runs all, each in a process of its own, beside armopt's tests of the same cases.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras
import tfmot_chain as tfm

import hard_models
from independent_reader import StoredKernel, lost_zeros, matched

# As strong as in tests/integration/test_where_tfmot_fails.py.
STRENGTHS = tfm.Strengths(
    sparsity=0.6, clusters=8, epochs=4, batch_size=32, learning_rate=3e-3, cluster_rate=3e-3, seed=1
)
PER_CHANNEL = replace(STRENGTHS, per_channel=True)

Array = tfm.Array


@dataclass(frozen=True)
class Finding:
    """What a case showed: whether TFMOT failed in it, and in what, in words."""

    fails: bool
    words: str


def _trained(model: Any) -> tuple[Any, Array, Array]:
    x, y = hard_models.data_for(tuple(model.inputs[0].shape[1:]))
    return hard_models.trained(model, (x, y)), x, y


def _file(model: Any, x: Array) -> Path:
    path = Path(tempfile.mkdtemp(prefix="tfmot-failures-")) / "model.tflite"
    tfm.convert(model, x[:100], path)
    return path


def _zeros(model: Any) -> dict[str, Array]:
    return {name: kernel == 0 for name, kernel in hard_models.kernels(model).items()}


def _judged(path: Path, zeros: dict[str, Array]) -> Finding:
    """Fails where a pruned weight is not zero in the file, or a tensor holds too many codes in a channel."""
    lost = lost_zeros(path, zeros)
    promised, gone = (sum(counts[i] for counts in lost.values()) for i in (0, 1))
    codes = _most_codes(matched(path, zeros).values())
    return Finding(
        gone > 0 or codes > STRENGTHS.clusters or promised == 0,
        f"{gone:,} of {promised:,} pruned weights are not zero, up to {codes} codes per channel",
    )


def _most_codes(stored: Iterable[StoredKernel]) -> int:
    return max(kernel.distinct_codes_per_channel for kernel in stored)


def _pcqat(model: Any) -> Finding:
    model, x, y = _trained(model)
    pruned = tfm.prune(model, x, y, STRENGTHS)
    zeros = _zeros(pruned)
    clustered = tfm.cluster(pruned, x, y, STRENGTHS, preserve_sparsity=True)
    quantized = tfm.quantize(clustered, x, y, STRENGTHS, {"prune", "cluster"})
    return _judged(_file(quantized, x), zeros)


def unpruned_layer_beside_pruned() -> Finding:
    """Only the first convolution is pruned and clustered; the others are spared, as first and last layers often are."""
    model, x, y = _trained(hard_models.two_convolutions())

    def first_only(wrap: Callable[[Any], Any]) -> Any:
        return keras.models.clone_model(
            model, clone_function=lambda layer: wrap(layer) if layer.name == "first" else layer
        )

    wrapped = first_only(lambda layer: tfm.pruning_model(layer, len(x), STRENGTHS))
    tfm.fit(wrapped, x, y, STRENGTHS, STRENGTHS.learning_rate, [tfmot.sparsity.keras.UpdatePruningStep()])
    model = pruned = tfmot.sparsity.keras.strip_pruning(wrapped)
    zeros = _zeros(pruned)
    wrapped = first_only(lambda layer: tfm.clustering_model(layer, STRENGTHS, preserve_sparsity=True))
    tfm.fit(wrapped, x, y, STRENGTHS, STRENGTHS.cluster_rate)
    clustered = tfmot.clustering.keras.strip_clustering(wrapped)
    quantized = tfm.quantize(clustered, x, y, STRENGTHS, {"prune", "cluster"})
    promised, lost = lost_zeros(_file(quantized, x), zeros)["first"]
    return Finding(lost > 0, f"{lost:,} of {promised:,} pruned weights are not zero")


def _per_channel(model: Any) -> Finding:
    model, x, y = _trained(model)
    clustered = tfm.cluster(model, x, y, PER_CHANNEL)
    file = _file(tfm.quantize(clustered, x, y, PER_CHANNEL, {"cluster"}), x)
    codes = matched(file, hard_models.kernels(clustered))["conv"].distinct_codes_per_channel
    return Finding(
        codes > PER_CHANNEL.clusters, f"up to {codes} codes in a channel for {PER_CHANNEL.clusters} clusters"
    )


def convolution_without_bias() -> Finding:
    """Clustered per channel."""
    return _per_channel(hard_models.without_bias())


def channels_of_different_clusters() -> Finding:
    """Clustered per channel, two channels of three values."""
    # Untrained: a hand-made filter that trains on would hold as many values as any other.
    model = hard_models.poor_channel(3)
    x, y = hard_models.data_for((8, 8, 3))
    clustered = tfm.cluster(model, x, y, PER_CHANNEL)
    per_channel = [len(np.unique(channel)) for channel in np.moveaxis(clustered.get_layer("conv").kernel.numpy(), 3, 0)]
    file = _file(tfm.quantize(clustered, x, y, PER_CHANNEL, {"cluster"}), x)
    codes = matched(file, hard_models.kernels(clustered))["conv"].distinct_codes_per_channel
    return Finding(
        codes > PER_CHANNEL.clusters,
        f"{min(per_channel)} to {max(per_channel)} values in a channel after clustering, "
        f"up to {codes} codes in one after CQAT, for {PER_CHANNEL.clusters} clusters",
    )


def save_load_and_train_on() -> Finding:
    """A pruned model under PQAT: saved, loaded in TFMOT's scope, trained on."""
    model, x, y = _trained(hard_models.two_convolutions())
    pruned = tfm.prune(model, x, y, STRENGTHS)
    zeros = _zeros(pruned)
    quantized = tfm.quantize(pruned, x, y, STRENGTHS, {"prune"})
    folder = Path(tempfile.mkdtemp(prefix="tfmot-failures-"))
    quantized.save(folder / "model.h5")
    with tfmot.quantization.keras.quantize_scope():
        loaded = keras.models.load_model(folder / "model.h5")
    tfm.fit(loaded, x, y, STRENGTHS, STRENGTHS.learning_rate)
    lost = lost_zeros(_file(loaded, x), zeros).values()
    promised, gone = sum(one for one, _ in lost), sum(other for _, other in lost)
    return Finding(gone > 0, f"{gone:,} of {promised:,} pruned weights are not zero")


def save_and_load_clustered() -> Finding:
    """A pruned and clustered model under PCQAT: saved, loaded in TFMOT's scope, trained on."""
    model, x, y = _trained(hard_models.two_convolutions())
    pruned = tfm.prune(model, x, y, STRENGTHS)
    zeros = _zeros(pruned)
    clustered = tfm.cluster(pruned, x, y, STRENGTHS, preserve_sparsity=True)
    quantized = tfm.quantize(clustered, x, y, STRENGTHS, {"prune", "cluster"})
    folder = Path(tempfile.mkdtemp(prefix="tfmot-failures-"))
    quantized.save(folder / "model.h5")
    with tfmot.quantization.keras.quantize_scope():
        loaded = keras.models.load_model(folder / "model.h5")
    tfm.fit(loaded, x, y, STRENGTHS, STRENGTHS.learning_rate)
    return _judged(_file(loaded, x), zeros)


def branching_twice() -> Finding:
    """Prune from a trained model, of which another branch is to start."""
    model, x, y = _trained(hard_models.two_convolutions())
    before = [weight.copy() for weight in model.get_weights()]
    tfm.prune(model, x, y, STRENGTHS)
    changed = sum(not np.array_equal(one, two) for one, two in zip(before, model.get_weights(), strict=True))
    return Finding(changed > 0, f"{changed} of {len(before)} weight arrays of the source changed")


def depthwise_kernels() -> Finding:
    """prune, cluster and PCQAT of a model with a depthwise convolution: that kernel alone."""
    model, x, y = _trained(hard_models.depthwise())
    pruned = tfm.prune(model, x, y, STRENGTHS)
    clustered = tfm.cluster(pruned, x, y, STRENGTHS, preserve_sparsity=True)
    file = _file(tfm.quantize(clustered, x, y, STRENGTHS, {"prune", "cluster"}), x)
    kernels = hard_models.kernels(pruned)
    zeros, size = int((kernels["depthwise"] == 0).sum()), kernels["depthwise"].size
    codes = matched(file, kernels)["depthwise"].distinct_codes
    return Finding(zeros == 0, f"{zeros} of {size} depthwise weights pruned, {codes} codes")


def transposed_convolution() -> Finding:
    """PQAT of a model with Conv2DTranspose."""
    model, x, y = _trained(hard_models.transposed())
    pruned = tfm.prune(model, x, y, STRENGTHS)
    zeros = _zeros(pruned)
    quantized = tfm.quantize(pruned, x, y, STRENGTHS, {"prune"})
    lost = lost_zeros(_file(quantized, x), zeros)["up"]
    return Finding(lost[1] > 0, f"{lost[1]} of {lost[0]} pruned weights are not zero")


def one_dimensional_convolution() -> Finding:
    """PCQAT of a model with Conv1D."""
    return _pcqat(hard_models.one_dimensional())


def nested_model() -> Finding:
    """PCQAT of a model within a model."""
    return _pcqat(hard_models.nested())


def subclassed_model() -> Finding:
    """PCQAT of a subclassed model."""
    model = hard_models.subclassed()
    x, y = hard_models.data_for((8, 8, 3))
    pruned = tfm.prune(hard_models.trained(model, (x, y)), x, y, STRENGTHS)
    quantized = tfm.quantize(pruned, x, y, STRENGTHS, {"prune"})
    return _judged(_file(quantized, x), _zeros(pruned))


def keras_3_model() -> Finding:
    """Pruning of a Keras 3 model."""
    x, y = hard_models.data_for((8, 8, 3))
    pruned = tfm.prune(hard_models.keras_3(), x, y, STRENGTHS)
    return _judged(_file(pruned, x), _zeros(pruned))


# Case -> (what it is, TFMOT's side, armopt's test of it).
CASES: dict[str, tuple[str, Callable[[], Finding], str]] = {
    case.__name__: (words, case, test)
    for words, case, test in (
        (
            "an unpruned layer beside pruned ones, PCQAT",
            unpruned_layer_beside_pruned,
            "test_an_unpruned_layer_beside_pruned_ones_costs_them_no_zero[unclustered0]",
        ),
        (
            "convolution without bias, clustered per channel, CQAT",
            convolution_without_bias,
            "test_a_convolution_without_bias_is_clustered_per_channel[channel]",
        ),
        (
            "channels with different numbers of clusters, CQAT",
            channels_of_different_clusters,
            "test_channels_may_have_different_numbers_of_clusters[3-channel]",
        ),
        (
            "fake-quantized model saved, loaded, trained on (PQAT)",
            save_load_and_train_on,
            "test_a_fake_quantized_model_keeps_its_promises_after_saving_and_loading",
        ),
        (
            "fake-quantized model saved, loaded, trained on (PCQAT)",
            save_and_load_clustered,
            "test_a_fake_quantized_model_keeps_its_promises_after_saving_and_loading",
        ),
        (
            "two branches from one source model",
            branching_twice,
            "test_one_source_branches_twice_and_stays_untouched",
        ),
        (
            "depthwise kernels pruned and clustered",
            depthwise_kernels,
            "test_depthwise_kernels_are_pruned_and_clustered_on_request",
        ),
        (
            "Conv2DTranspose under PQAT",
            transposed_convolution,
            "test_a_transposed_convolution_stays_sparse_and_clustered",
        ),
        (
            "Conv1D under PCQAT",
            one_dimensional_convolution,
            "test_a_one_dimensional_convolution_stays_sparse_and_clustered",
        ),
        ("nested model under PCQAT", nested_model, "test_a_nested_model_stays_sparse_and_clustered"),
        ("subclassed model", subclassed_model, "test_a_subclassed_model_stays_sparse_and_clustered"),
        ("Keras 3 model", keras_3_model, "test_a_keras_3_model_stays_sparse_and_clustered"),
    )
}


def main() -> None:
    """Run one case; whatever TFMOT raises is its answer."""
    try:
        finding = CASES[sys.argv[1]][1]()
    except Exception as error:  # TFMOT, Keras and the converter raise nearly anything
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        finding = Finding(True, f"{type(error).__name__}: {line.strip()[:160]}")
    print(f"{'fails' if finding.fails else 'holds'}\t{finding.words}")


if __name__ == "__main__":
    main()

"""Cases in which scripts on TFMOT 0.8.1 lose structure or stop: `benchmarks/against_tfmot.py --failures` shows them.

Each goes from a trained model to a .tflite, which a reader of its own judges: the zeros are those of the pruned Keras
model, not those that armopt recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import armopt
import hard_models
from armopt.compress.backend import keras
from armopt.compress.projection import constraints_of
from hard_models import data_for, kernels, trained
from independent_reader import lost_zeros, matched

# Few steps, but large ones: every weight that is free moves by many codes.
QUICK = {"epochs": 4, "min_steps": 0, "batch_size": 32, "learning_rate": 3e-3}
SPARSITY, CLUSTERS = 0.6, 8

Record = Callable[[str, object], None]


class Chain:
    """prune, cluster and quantize one after the other, and what the file that they end in holds."""

    def __init__(self, model: Any, path: Path, **settings: Any) -> None:
        shape = tuple(model.inputs[0].shape[1:]) if getattr(model, "inputs", None) else (8, 8, 3)
        data = data_for(shape)
        settings = {**QUICK, **settings}
        pruned = armopt.prune(model, data, sparsity=SPARSITY, **settings)
        clustered = armopt.cluster(pruned, data, clusters=CLUSTERS, **settings)
        quantized = armopt.quantize(clustered, data, **settings)
        armopt.export(quantized, data, path)
        self.zeros = {name: kernel == 0 for name, kernel in kernels(pruned).items()}
        self.lost = lost_zeros(path, self.zeros)
        self.codes = {name: stored.distinct_codes for name, stored in matched(path, self.zeros).items()}
        self.quantized = quantized

    def check(self, record: Record, *names: str) -> None:
        """The named layers (default: all) are as sparse as asked, keep every zero, and hold few codes."""
        names = names or tuple(self.zeros)
        for name in names:
            assert self.lost[name] == (round(SPARSITY * self.zeros[name].size), 0), name
            assert 2 <= self.codes[name] <= CLUSTERS, name
        zeros = sum(self.lost[name][0] for name in names)
        record("found", f"all {zeros} zeros kept, at most {max(self.codes[name] for name in names)} codes")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.tflite"


@pytest.mark.parametrize("unclustered", [("second", "out"), ()])
def test_an_unpruned_layer_beside_pruned_ones_costs_them_no_zero(
    unclustered: tuple[str, ...], file: Path, record_property: Record
) -> None:
    model = hard_models.two_convolutions()
    data = data_for((8, 8, 3))
    pruned = armopt.prune(trained(model, data), data, sparsity=SPARSITY, spare=("second", "out"), **QUICK)
    clustered = armopt.cluster(pruned, data, clusters=CLUSTERS, spare=unclustered, **QUICK)
    armopt.export(armopt.quantize(clustered, data, **QUICK), data, file)
    zeros = {name: kernel == 0 for name, kernel in kernels(pruned).items()}
    assert zeros["first"].sum() == round(SPARSITY * zeros["first"].size)
    assert zeros["second"].sum() == 0
    assert lost_zeros(file, zeros)["first"] == (zeros["first"].sum(), 0)
    stored = matched(file, zeros)
    codes = {name: kernel.distinct_codes for name, kernel in stored.items() if name not in unclustered}
    assert max(codes.values()) <= CLUSTERS
    record_property("found", f"all {zeros['first'].sum()} zeros kept, at most {max(codes.values())} codes")


@pytest.mark.parametrize("clustering", ["channel", "shared"])
def test_a_convolution_without_bias_is_clustered_per_channel(
    clustering: str, file: Path, record_property: Record
) -> None:
    data = data_for((8, 8, 3))
    model = trained(hard_models.without_bias(), data)
    clustered = armopt.cluster(model, data, clusters=CLUSTERS, clustering=clustering, **QUICK)
    armopt.export(armopt.quantize(clustered, data, **QUICK), data, file)
    stored = matched(file, kernels(model))["conv"]
    assert 2 < stored.distinct_codes_per_channel <= CLUSTERS
    assert clustering == "channel" or stored.distinct_codes <= CLUSTERS
    record_property("found", f"at most {stored.distinct_codes_per_channel} codes per channel")


@pytest.mark.parametrize("clustering", ["channel", "shared"])
@pytest.mark.parametrize("distinct", [1, 3, CLUSTERS - 1])
def test_channels_may_have_different_numbers_of_clusters(
    distinct: int, clustering: str, file: Path, record_property: Record
) -> None:
    data = data_for((8, 8, 3))
    model = hard_models.poor_channel(distinct)
    clustered = armopt.cluster(model, data, clusters=CLUSTERS, clustering=clustering, **QUICK)
    armopt.export(armopt.quantize(clustered, data, **QUICK), data, file)
    stored = matched(file, kernels(model))["conv"]
    assert 2 < stored.distinct_codes_per_channel <= CLUSTERS
    if clustering == "channel":  # shared codes look at the whole tensor: equal weights may part there
        assert len(np.unique(stored.channels[0])) <= distinct
    else:
        assert stored.distinct_codes <= CLUSTERS
    record_property("found", f"at most {stored.distinct_codes_per_channel} codes per channel")


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_promises_survive_saving_loading_and_training_on(
    ending: str, tmp_path: Path, file: Path, record_property: Record
) -> None:
    data = data_for((8, 8, 3))
    pruned = armopt.prune(trained(hard_models.two_convolutions(), data), data, sparsity=SPARSITY, **QUICK)
    clustered = armopt.cluster(pruned, data, clusters=CLUSTERS, **QUICK)
    clustered.save(tmp_path / f"model.{ending}")
    constraints_of(clustered).save(tmp_path / "constraints.npz")

    loaded = keras.models.load_model(tmp_path / f"model.{ending}")
    loaded.armopt_constraints = armopt.Constraints.load(tmp_path / "constraints.npz")
    trained(loaded, data).fit(*data, epochs=2, verbose=0, callbacks=[armopt.ConstraintsCallback()])
    armopt.export(armopt.quantize(loaded, data, **QUICK), data, file)
    zeros = {name: kernel == 0 for name, kernel in kernels(pruned).items()}
    assert all(lost == 0 for _, lost in lost_zeros(file, zeros).values())
    codes = max(stored.distinct_codes for stored in matched(file, zeros).values())
    assert codes <= CLUSTERS
    record_property("found", f"all {sum(mask.sum() for mask in zeros.values())} zeros kept, at most {codes} codes")


def test_a_fake_quantized_model_keeps_its_promises_after_saving_and_loading(
    tmp_path: Path, file: Path, record_property: Record
) -> None:
    from tensorflow_model_optimization.quantization.keras import quantize_scope

    data = data_for((8, 8, 3))
    pruned = armopt.prune(trained(hard_models.two_convolutions(), data), data, sparsity=SPARSITY, **QUICK)
    clustered = armopt.cluster(pruned, data, clusters=CLUSTERS, **QUICK)
    quantized = armopt.quantize(clustered, data, **QUICK)
    quantized.save(tmp_path / "model.h5")
    constraints_of(quantized).save(tmp_path / "constraints.npz")
    with quantize_scope():
        loaded = keras.models.load_model(tmp_path / "model.h5")
    loaded.armopt_constraints = armopt.Constraints.load(tmp_path / "constraints.npz")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loaded.compile(keras.optimizers.Adam(3e-3), loss)
    loaded.fit(*data, batch_size=32, epochs=4, verbose=0, callbacks=[armopt.ConstraintsCallback()])
    armopt.export(loaded, data, file)
    zeros = {name: kernel == 0 for name, kernel in kernels(pruned).items()}
    assert all(lost == 0 for _, lost in lost_zeros(file, zeros).values())
    codes = max(stored.distinct_codes for stored in matched(file, zeros).values())
    assert codes <= CLUSTERS
    record_property("found", f"all {sum(mask.sum() for mask in zeros.values())} zeros kept, at most {codes} codes")


def test_one_source_branches_twice_and_stays_untouched(record_property: Record) -> None:
    data = data_for((8, 8, 3))
    source = trained(hard_models.two_convolutions(), data)
    before = [weight.copy() for weight in source.get_weights()]
    untrained = {**QUICK, "epochs": 0}
    first = armopt.cluster(source, data, clusters=CLUSTERS, **untrained)
    armopt.prune(source, data, sparsity=SPARSITY, **QUICK)
    armopt.quantize(source, data, **QUICK)
    assert all(np.array_equal(one, other) for one, other in zip(before, source.get_weights(), strict=True))
    again = armopt.cluster(source, data, clusters=CLUSTERS, **untrained)
    assert all(np.array_equal(one, other) for one, other in zip(first.get_weights(), again.get_weights(), strict=True))
    assert not any(constraint.keep is not None for constraint in constraints_of(again).values())
    record_property("found", f"0 of {len(before)} weight arrays changed")


def test_depthwise_kernels_are_pruned_and_clustered_on_request(file: Path, record_property: Record) -> None:
    model = trained(hard_models.depthwise(), data_for((8, 8, 3)))
    Chain(model, file, depthwise=True).check(record_property, "depthwise", "conv", "pointwise")


def test_a_transposed_convolution_stays_sparse_and_clustered(file: Path, record_property: Record) -> None:
    chain = Chain(trained(hard_models.transposed(), data_for((8, 8, 3))), file)
    chain.check(record_property)


def test_a_one_dimensional_convolution_stays_sparse_and_clustered(file: Path, record_property: Record) -> None:
    Chain(trained(hard_models.one_dimensional(), data_for((24, 4))), file).check(record_property)


def test_a_nested_model_stays_sparse_and_clustered(file: Path, record_property: Record) -> None:
    Chain(trained(hard_models.nested(), data_for((8, 8, 3))), file).check(record_property)


def test_a_subclassed_model_stays_sparse_and_clustered(file: Path, record_property: Record) -> None:
    Chain(trained(hard_models.subclassed(), data_for((8, 8, 3))), file).check(record_property)


def test_a_keras_3_model_stays_sparse_and_clustered(file: Path, record_property: Record) -> None:
    Chain(hard_models.keras_3(), file).check(record_property)

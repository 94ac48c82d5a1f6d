"""The chain written by hand on tensorflow-model-optimization 0.8.1, as its guides have it: what armopt is held against.

Guides: "Pruning in Keras example", "Weight clustering in Keras example", and the four of collaborative optimization
(sparsity-preserving clustering, PQAT, CQAT, PCQAT). Nothing of armopt is imported here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

# The public `cluster_weights` has no `preserve_sparsity`; the guides take it from here.
from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster as experimental

Array = npt.NDArray[Any]

# Masks are renewed this often along the ramp, which takes half of the steps as armopt's does. The guides' default of
# one renewal in 100 steps would never reach the final sparsity in a short run.
_RENEWALS = 10


@dataclass(frozen=True)
class Strengths:
    """How hard each stage works; armopt is given the same.

    The rate of clustering is the guides': a tenth of the usual one. armopt clusters at the usual rate, as it documents.
    """

    sparsity: float = 0.5
    clusters: int = 16
    epochs: int = 2
    batch_size: int = 100
    learning_rate: float = 1e-4
    cluster_rate: float = 1e-5
    seed: int = 1
    per_channel: bool = False
    from_logits: bool = True


def fit(model: Any, x: Array, y: Array, strengths: Strengths, rate: float, callbacks: Collection[Any] = ()) -> None:
    """Train as armopt's stages do: Adam at a constant rate."""
    keras.utils.set_random_seed(strengths.seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=strengths.from_logits)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(x, y, batch_size=strengths.batch_size, epochs=strengths.epochs, verbose=0, callbacks=list(callbacks))


def pruning_model(model: Any, samples: int, strengths: Strengths) -> Any:
    """`model` wrapped for pruning on a polynomial schedule. The layers stay those of `model`: it is trained too."""
    steps = math.ceil(samples / strengths.batch_size) * strengths.epochs
    every = max(1, steps // 2 // _RENEWALS)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, strengths.sparsity, begin_step=0, end_step=every * _RENEWALS, frequency=every
    )
    return tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)


def prune(model: Any, x: Array, y: Array, strengths: Strengths) -> Any:
    """A pruned model without wrappers."""
    wrapped = pruning_model(model, len(x), strengths)
    fit(wrapped, x, y, strengths, strengths.learning_rate, [tfmot.sparsity.keras.UpdatePruningStep()])
    return tfmot.sparsity.keras.strip_pruning(wrapped)


def clustering_model(model: Any, strengths: Strengths, preserve_sparsity: bool) -> Any:
    """`model` wrapped for clustering."""
    options = {"preserve_sparsity": preserve_sparsity, "cluster_per_channel": strengths.per_channel}
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    return experimental.cluster_weights(model, strengths.clusters, start, **options)


def cluster(model: Any, x: Array, y: Array, strengths: Strengths, preserve_sparsity: bool = False) -> Any:
    """A clustered model without wrappers."""
    wrapped = clustering_model(model, strengths, preserve_sparsity)
    fit(wrapped, x, y, strengths, strengths.cluster_rate)
    return tfmot.clustering.keras.strip_clustering(wrapped)


def fake_quant_model(model: Any, preserving: Collection[str] = ()) -> Any:
    """`model` with fake quantization, under the scheme that keeps what `preserving` ("prune", "cluster") names."""
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    combine = tfmot.experimental.combine
    if "cluster" in preserving:
        scheme = combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity="prune" in preserving)
    elif "prune" in preserving:
        scheme = combine.Default8BitPrunePreserveQuantizeScheme()
    else:
        return tfmot.quantization.keras.quantize_apply(annotated)
    return tfmot.quantization.keras.quantize_apply(annotated, scheme)


def quantize(model: Any, x: Array, y: Array, strengths: Strengths, preserving: Collection[str] = ()) -> Any:
    """A fake-quantized model, trained."""
    quantized = fake_quant_model(model, preserving)
    fit(quantized, x, y, strengths, strengths.learning_rate)
    return quantized


def convert(model: Any, calibration: Array, path: Path) -> None:
    """Write a full-integer INT8 .tflite, calibrated one sample at a time."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None].astype(np.float32)] for sample in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())

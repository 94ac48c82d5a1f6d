"""What becomes of each type of layer, found out by taking a tiny model with it down to a file: docs/layers.md."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import tiny_models
from armopt.compress.audit import audit
from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints, is_kept
from armopt.compress.data import Array, Split
from armopt.compress.export import export_tflite
from armopt.compress.kernels import kernels_of
from armopt.compress.models import as_source
from armopt.compress.promises import promises_of
from armopt.compress.stages import STAGES, Context, Workpiece
from armopt.compress.stages.selection import prunable
from armopt.compress.task import find_task
from armopt.core.errors import ArmoptError, ConversionError, ModelError
from armopt.core.profile import StageSettings
from armopt.core.records import Audit

layers = keras.layers

SPARSITY, CLUSTERS = 0.5, 8
# Layers around the one that a row is about; they are left alone, so that promises speak of that one only.
AROUND = ("around_*",)
PROVED, HELD, REFUSED = "audited in INT8", "constraints only", "refused"


@dataclass(frozen=True)
class Case:
    """A layer type, and the smallest model with one.

    Attributes:
        name: as Keras calls it, or how it stands in the model.
        layer: makes what the row is about: input tensor -> output tensor.
        shape: of one sample.
        words: number of words where the input is of integers.
        batch: where the model fixes it.
    """

    name: str
    layer: Callable[[Any], Any]
    shape: tuple[int, ...]
    words: int = 0
    batch: int | None = None

    def model(self) -> Any:
        """A classifier with random weights, the same every time."""
        keras.utils.set_random_seed(11)
        inputs = layers.Input(batch_shape=(self.batch, *self.shape), dtype="int32" if self.words else "float32")
        flat = layers.Flatten(name="around_flat")(self.layer(inputs))
        return as_source(keras.Model(inputs, layers.Dense(3, name="around_out")(flat))).model

    def samples(self) -> Array:
        """Inputs of the model."""
        if self.words:
            return np.random.default_rng(1).integers(0, self.words, (16, *self.shape)).astype(np.int32)
        return tiny_models.samples(self.shape, 16)


class _Parts(keras.Model):
    """A subclassed model."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv, self.dense = layers.Conv2D(6, 3, activation="relu"), layers.Dense(8)

    def call(self, x: Any) -> Any:
        return self.dense(self.conv(x))

    def get_config(self) -> Any:
        return {"name": self.name}


class _OwnWeights(layers.Layer):
    """A custom layer that makes its weights itself."""

    def build(self, shape: Any) -> None:
        self.w = self.add_weight("w", (shape[-1], 8))

    def call(self, x: Any) -> Any:
        return x @ self.w


def _nested(x: Any) -> Any:
    inner = keras.Sequential([layers.Input((8, 8, 4)), layers.Conv2D(6, 3), layers.Dense(8)], name="inner")
    return inner(x)


def _shared(x: Any) -> Any:
    same = layers.Dense(12, activation="relu")
    return same(same(x))


def _normalized(x: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x)))


IMAGE, SERIES, VOLUME, WORDS = (8, 8, 4), (4, 8), (4, 4, 4, 4), (4,)
CASES = (
    Case("Conv1D", lambda x: layers.Conv1D(8, 3)(x), SERIES),
    Case("Conv2D", lambda x: layers.Conv2D(8, 3)(x), IMAGE),
    Case("Conv2D without bias, BatchNormalization", _normalized, IMAGE),
    Case("Conv2D, groups=2", lambda x: layers.Conv2D(8, 3, groups=2)(x), IMAGE),
    Case("Conv2D, channels_first", lambda x: layers.Conv2D(8, 3, data_format="channels_first")(x), IMAGE),
    Case("Conv3D", lambda x: layers.Conv3D(8, 3)(x), VOLUME),
    Case("DepthwiseConv1D", lambda x: layers.DepthwiseConv1D(3, depth_multiplier=2)(x), SERIES),
    Case("DepthwiseConv2D", lambda x: layers.DepthwiseConv2D(3)(x), IMAGE),
    Case("Conv1DTranspose", lambda x: layers.Conv1DTranspose(8, 3, strides=2)(x), SERIES),
    Case("Conv2DTranspose", lambda x: layers.Conv2DTranspose(8, 3, strides=2)(x), IMAGE),
    Case("Conv3DTranspose", lambda x: layers.Conv3DTranspose(8, 3)(x), VOLUME),
    Case("SeparableConv1D", lambda x: layers.SeparableConv1D(8, 3)(x), SERIES),
    Case("SeparableConv2D", lambda x: layers.SeparableConv2D(8, 3)(x), IMAGE),
    Case("Dense", lambda x: layers.Dense(8)(x), (12,)),
    Case("Dense on a sequence", lambda x: layers.Dense(10)(x), SERIES),
    Case("TimeDistributed(Dense)", lambda x: layers.TimeDistributed(layers.Dense(10))(x), SERIES),
    Case("TimeDistributed(Conv2D)", lambda x: layers.TimeDistributed(layers.Conv2D(8, 3))(x), (3, 6, 6, 4)),
    Case("EinsumDense", lambda x: layers.EinsumDense("abc,cde->abde", (None, 3, 4))(x), SERIES),
    Case("EinsumDense, weights of each position", lambda x: layers.EinsumDense("abc,bcd->abd", (4, 10))(x), SERIES),
    Case("MultiHeadAttention", lambda x: layers.MultiHeadAttention(2, 4)(x, x), SERIES),
    Case("Embedding", lambda x: layers.Embedding(50, 8)(x), WORDS, words=50),
    Case("SimpleRNN", lambda x: layers.SimpleRNN(5)(x), SERIES),
    Case("LSTM", lambda x: layers.LSTM(5)(x), SERIES),
    Case("LSTM behind Masking", lambda x: layers.LSTM(5)(layers.Masking()(x)), SERIES),
    Case("LSTM, stateful", lambda x: layers.LSTM(5, stateful=True, name="lstm")(x), SERIES, batch=1),
    Case("GRU", lambda x: layers.GRU(5)(x), SERIES),
    Case("Bidirectional(LSTM)", lambda x: layers.Bidirectional(layers.LSTM(5))(x), SERIES),
    Case("RNN of cells", lambda x: layers.RNN([layers.LSTMCell(5), layers.GRUCell(4)])(x), SERIES),
    Case("ConvLSTM2D", lambda x: layers.ConvLSTM2D(4, 3)(x), (3, 6, 6, 2)),
    Case("LocallyConnected1D", lambda x: layers.LocallyConnected1D(4, 3)(x), SERIES),
    Case("a nested model", _nested, IMAGE),
    Case("a subclassed model", lambda x: _Parts()(x), IMAGE),
    Case("a layer called twice", _shared, (12,)),
    Case("a custom layer's own weights", lambda x: _OwnWeights()(x), (12,)),
)


@dataclass(frozen=True)
class Row:
    """What was found: a line of the page.

    Attributes:
        name: of the case.
        prune: whether zeros can be promised, and held.
        cluster: what its clusters are in the end.
        qat: how it is quantized in training.
        file: what the exported file proves.
    """

    name: str
    prune: str
    cluster: str
    qat: str
    file: str

    def line(self) -> str:
        """As a row of a Markdown table."""
        return f"| {self.name} | {self.prune} | {self.cluster} | {self.qat} | {self.file} |"


def find_row(case: Case) -> Row:
    """Prune, cluster, train under fake quantization, export and audit; raises where a promise is lost."""
    try:
        source, x = case.model(), case.samples()
    except ModelError as error:
        return Row(case.name, "no", "no", "-", f"{REFUSED}: {_reason(error)}")
    task, data = find_task(source, tiny_models.data_of(x, np.arange(len(x)) % 3))
    settings = {"sparsity": SPARSITY, "clusters": CLUSTERS, "depthwise": True, "spare": AROUND, "min_steps": 0}
    trained = StageSettings.model_validate({**settings, "epochs": 1, "batch_size": 16, "learning_rate": 1e-2})
    context = Context(data, task, trained, lambda *progress: None)
    if not prunable(source, trained):
        return _left_alone(case, context)
    # Masks alone take no training; that zeros hold in training is seen in the two stages that follow.
    only_masks = replace(context, settings=trained.model_copy(update={"epochs": 0}))
    pruned = STAGES["prune"].apply(Workpiece(source, Constraints()), only_masks)
    clustered = STAGES["cluster"].apply(pruned, context)
    quantized = STAGES["pcqat"].apply(clustered, context)
    for piece in (clustered, quantized):
        _check_kept(piece)
    asked = {kernel.key for kernel in prunable(source, StageSettings(spare=AROUND))}
    prune = (
        "yes" if asked >= set(pruned.constraints) else "if asked for" if not asked else "yes; depthwise if asked for"
    )
    cluster, file = _in_file(quantized, x)
    return Row(case.name, prune, cluster, _quantization(quantized), file)


def _left_alone(case: Case, context: Context) -> Row:
    """Nothing to promise: the stages say so, and the layer is exported as it is."""
    source = case.model()
    for stage in ("prune", "cluster"):
        try:
            STAGES[stage].apply(Workpiece(source, Constraints()), context)
        except ModelError as error:
            assert "has no kernel to" in str(error)
        else:
            raise AssertionError(f"{stage} found something to change in '{case.name}'")
    try:
        _export(source, context.data.train.x[0], Constraints())
    except ConversionError as error:
        return Row(case.name, "no", "no", "-", f"{REFUSED}: {_reason(error)}")
    return Row(case.name, "no", "no", "-", f"{REFUSED}: no kernel that armopt knows; quantized as it is")


def _check_kept(piece: Workpiece) -> None:
    values = {kernel.key: kernel.variable.numpy() for kernel in kernels_of(piece.model)}
    for key, constraint in piece.constraints.items():
        assert constraint.keep is not None and constraint.codes is not None, key
        assert (~constraint.keep).sum() == round(SPARSITY * constraint.keep.size), key
        assert is_kept(values[key], constraint), key


def _quantization(piece: Workpiece) -> str:
    wrapped = {
        id(variable)
        for layer in piece.model._flatten_layers()
        if type(layer).__name__.startswith("QuantizeWrapper")
        for variable, *_ in layer._weight_vars
    }
    fake = [id(kernel.variable) in wrapped for kernel in kernels_of(piece.model) if kernel.key in piece.constraints]
    return "fake-quantized" if all(fake) else "after training" if not any(fake) else "fake-quantized in part"


def _export(model: Any, x: Array, constraints: Constraints) -> tuple[Audit, bool]:
    """What the file holds, and whether a loop was unrolled for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        exported = export_tflite(model, Split((x,)), path)
        return audit(path, promises_of(model, constraints)), any("unrolled" in note for note in exported.notes)


def _reason(error: ArmoptError) -> str:
    # Without the model's name, which it begins with.
    return error.what.split("' ", 1)[1] if error.what.startswith("model ") else error.what.split("': ")[-1]


def _in_file(piece: Workpiece, x: Array) -> tuple[str, str]:
    """What the clusters have become, and what is proved of them and of the zeros."""
    in_keras = f"{CLUSTERS} values"
    try:
        found, chained = _export(piece.model, x, piece.constraints)
    except ConversionError as error:
        return in_keras, f"{REFUSED}: {_reason(error)}"
    held = [layer for layer in found.layers if layer.constraint is not None]
    operators = ", ".join(sorted({layer.kind for layer in held}))
    if found.unproven:
        return in_keras, f"{HELD}: its weights are not found in the file"
    for key, constraint in piece.constraints.items():
        assert constraint.keep is not None
        tensors = [layer for layer in held if layer.constraint == key]
        # A gate of an LSTM is a tensor of its own.
        assert sum(layer.zeros_promised or 0 for layer in tensors) == (~constraint.keep).sum(), key
        for layer in tensors:
            assert layer.codes_promised == CLUSTERS and layer.codes_per_channel <= CLUSTERS, key
            assert layer.codes <= CLUSTERS or constraint.levels is None, key
    if any(layer.dtype != "int8" for layer in held):
        return in_keras, f"{HELD}: {operators} stays float"
    of_what = "tensor" if all(layer.codes <= CLUSTERS for layer in held) else "channel"
    return f"{CLUSTERS} codes a {of_what}", f"{PROVED} as {operators}{', unrolled' if chained else ''}"

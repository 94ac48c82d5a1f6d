from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.audit import audit
from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.compress.fake_quant import KERNEL_AXES, observe_ranges
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.kernels import kernels_of
from armopt.compress.models import copy_model, predict
from armopt.compress.promises import promises_of
from armopt.compress.quantized_graph import quantized_graph
from armopt.compress.scales import scale_groups
from armopt.compress.stages import STAGES, Workpiece
from armopt.compress.stages.qat import with_fake_quant
from armopt.compress.tflite_file import operator_name, read_model, read_weights
from armopt.core.errors import ModelError

layers = keras.layers


def _model(shape: tuple[int, ...], *body: Any) -> Any:
    keras.utils.set_random_seed(2)
    x = inputs = layers.Input(shape)
    for layer in body:
        x = layer(x)
    return keras.Model(inputs, x)


def _normalized(layer: Any) -> tuple[Any, ...]:
    return layer, layers.BatchNormalization(), layers.ReLU()


# One model for each kind of kernel, each with batch normalization behind it: the converter folds it everywhere.
KINDS: dict[str, Callable[[], Any]] = {
    "Dense": lambda: _model((12,), *_normalized(layers.Dense(7)), layers.Dense(3)),
    "Dense over steps": lambda: _model((5, 12), *_normalized(layers.Dense(7, use_bias=False))),
    "Conv1D": lambda: _model((16, 4), *_normalized(layers.Conv1D(5, 3, padding="causal", use_bias=False))),
    "Conv2D": lambda: _model((8, 8, 3), *_normalized(layers.Conv2D(5, 3, use_bias=False))),
    "Conv1DTranspose": lambda: _model((8, 4), *_normalized(layers.Conv1DTranspose(5, 3, strides=2))),
    "Conv2DTranspose": lambda: _model((6, 6, 4), *_normalized(layers.Conv2DTranspose(5, 3, strides=2))),
    "DepthwiseConv1D": lambda: _model((16, 4), *_normalized(layers.DepthwiseConv1D(3, use_bias=False))),
    "DepthwiseConv2D": lambda: _model((8, 8, 4), *_normalized(layers.DepthwiseConv2D(3, depth_multiplier=2))),
    "SeparableConv1D": lambda: _model((16, 4), *_normalized(layers.SeparableConv1D(5, 3, strides=2))),
    "SeparableConv2D": lambda: _model((8, 8, 4), *_normalized(layers.SeparableConv2D(5, 3, use_bias=False))),
}


def _awake(model: Any) -> Any:
    """The model with batch normalization that does something."""
    generator = np.random.default_rng(4)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    return model


def _fake(model: Any, count: int = 64) -> tuple[Any, Any]:
    """The fake-quant twin, with nothing left out, and samples."""
    x = tiny_models.samples(tuple(model.inputs[0].shape[1:]), count)
    fake, notes = with_fake_quant(model, (x,))
    assert notes == ()
    return fake, x


def _operators(path: Path) -> list[str]:
    model = read_model(path)
    return [operator_name(model.operatorCodes[op.opcodeIndex]) for op in model.subgraphs[0].operators]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_fake_quant_file_has_the_operators_and_scale_groups_of_a_file_quantized_after_training(
    kind: str, tmp_path: Path
) -> None:
    model = _awake(KINDS[kind]())
    fake, x = _fake(model)
    for name, made in (("ptq", model), ("qat", fake)):
        assert export_tflite(made, Split((x,)), tmp_path / name).notes == ()
    assert _operators(tmp_path / "qat") == _operators(tmp_path / "ptq")
    both = zip(read_weights(tmp_path / "qat"), read_weights(tmp_path / "ptq"), strict=True)
    for qat, ptq in both:
        assert qat.codes.shape == ptq.codes.shape and qat.scales.size == ptq.scales.size
        # One scale a channel, and the range is exactly the kernel's: the largest weight has the largest code.
        assert qat.scales.size == qat.codes.shape[qat.channel_axis]
        assert (np.abs(qat.by_channel(qat.codes).astype(int)).max(1) == 127).all()
        np.testing.assert_allclose(np.sort(qat.scales), np.sort(ptq.scales), rtol=1e-4)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_file_computes_what_the_fake_quant_model_does(kind: str, tmp_path: Path) -> None:
    fake, x = _fake(_awake(KINDS[kind]()))
    export_tflite(fake, Split((x,)), tmp_path / "qat")
    (got,), (wanted,) = HostInterpreter(tmp_path / "qat", threads=1).run((x,)), predict(fake, (x,))
    step = (wanted.max() - wanted.min()) / 255
    # A value between two codes may be rounded either way; more than a code apart means another range or another scale.
    assert np.abs(got - wanted).max() < 2.1 * step


@pytest.mark.parametrize("kind", list(KERNEL_AXES))
def test_the_axes_of_a_layers_scale_are_those_of_its_kernels_scale_groups(kind: type) -> None:
    shape = {"1": (16, 4), "2": (8, 8, 4)}.get(next((letter for letter in kind.__name__ if letter.isdigit()), ""), (6,))
    sizes = {"depth_multiplier": 2} if "Depthwise" in kind.__name__ else {}
    first = (3,) if "Depthwise" in kind.__name__ else (5,) if kind is layers.Dense else (5, 3)
    (kernel,) = kernels_of(_model(shape, kind(*first, **sizes)))
    groups = scale_groups(kernel.kind, tuple(kernel.variable.shape))
    attribute, axes = KERNEL_AXES[kind]
    assert groups is not None and kernel.key.endswith(f"/{attribute}")
    assert tuple(axis for axis, size in enumerate(groups.shape) if size == 1) == axes


def test_a_transposed_convolution_keeps_its_zeros_and_codes_through_training_into_the_file(tmp_path: Path) -> None:
    # TFMOT's sparsity-preserving quantization stops at this layer.
    model = _model(
        (6, 6, 4),
        *_normalized(layers.Conv2DTranspose(8, 3, strides=2, use_bias=False, name="up")),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, name="out"),
    )
    context = tiny_models.context_for(model, sparsity=0.6, clusters=6)
    pruned = STAGES["prune"].apply(Workpiece(model, Constraints()), context)
    clustered = STAGES["cluster"].apply(pruned, context)
    for leaf, parent in (("pqat", pruned), ("pcqat", clustered)):
        made = STAGES[leaf].apply(parent, context)
        assert made.notes == ()
        export_tflite(made.model, context.data.train, tmp_path / leaf)
        found = audit(tmp_path / leaf, promises_of(made.model, made.constraints))
        assert found.unproven == ()
        up = next(layer for layer in found.layers if layer.kind == "TRANSPOSE_CONV")
        assert up.constraint == "up/kernel" and up.zeros_promised == round(0.6 * 3 * 3 * 8 * 4)
        if leaf == "pcqat":
            assert up.codes <= 6 and up.codes_scope == "tensor"


def _two_levels() -> Any:
    """conv-norm-relu in a model in a model, called twice, the outer one for inference, as transfer learning does."""
    cell = _model((8, 8, 4), *_normalized(layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")))
    cell._name = "cell"
    inputs = layers.Input((8, 8, 4))
    body = keras.Model(inputs, cell(cell(inputs)), name="body")
    outer = layers.Input((8, 8, 4))
    pooled = layers.GlobalAveragePooling2D()(body(outer, training=False))
    return keras.Model(outer, layers.Dense(3, name="out")(pooled), name="outer")


def test_nested_models_of_several_levels_fold_as_a_flat_one(tmp_path: Path) -> None:
    model = _awake(_two_levels())
    fake, x = _fake(model)
    assert [kernel.key for kernel in kernels_of(fake)] == ["body/cell/conv/kernel", "out/kernel"]
    export_tflite(fake, Split((x,)), tmp_path / "qat")
    assert _operators(tmp_path / "qat") == ["CONV_2D", "CONV_2D", "MEAN", "FULLY_CONNECTED"]


def test_calls_of_one_layer_share_its_variables_and_have_ranges_of_their_own() -> None:
    model = _awake(_two_levels())
    fake, x = _fake(model)
    assert len(fake.trainable_weights) == len(model.trainable_weights)
    outputs = [layer for layer in fake.layers if "re_lu" in layer.name]
    ranges = {float(layer._output_quantizer_vars["max_var"].numpy()) for layer in outputs}
    assert len(outputs) == len(ranges) == 2
    before = predict(fake, (x,))[0]
    next(kernel for kernel in kernels_of(fake) if "conv" in kernel.key).variable.assign_add(
        0.1 * tiny_models.samples((3, 4, 4), 3)
    )
    assert not np.array_equal(before, predict(fake, (x,))[0])


def test_normalization_called_for_inference_keeps_its_statistics_in_training() -> None:
    model = _awake(_two_levels())
    means = [w.numpy() for w in model.non_trainable_weights if "moving_mean" in w.name]
    trained = STAGES["qat"].apply(Workpiece(model, Constraints()), tiny_models.context_for(model)).model
    after = [w.numpy() for w in trained.non_trainable_weights if "moving_mean" in w.name]
    assert len(after) == len(means) == 1 and np.array_equal(after[0], means[0])


def test_frozen_layers_stay_frozen() -> None:
    model = _model((12,), layers.Dense(8, activation="relu", name="frozen"), layers.Dense(3, name="out"))
    model.get_layer("frozen").trainable = False
    before = [weight.copy() for weight in model.get_layer("frozen").get_weights()]
    trained = STAGES["qat"].apply(Workpiece(model, Constraints()), tiny_models.context_for(model)).model
    after = {kernel.key: kernel.variable.numpy() for kernel in kernels_of(trained)}
    assert np.array_equal(after["frozen/kernel"], before[0])
    assert not np.array_equal(after["out/kernel"], model.get_layer("out").get_weights()[0])


def test_a_kernel_before_a_relu_layer_is_fake_quantized_too() -> None:
    fake, x = _fake(_model((8, 8, 3), layers.Conv2D(5, 3, name="conv"), layers.ReLU()))
    (kernel,) = kernels_of(fake)
    before = predict(fake, (x,))[0]
    scale = np.abs(kernel.variable.numpy()).max((0, 1, 2)) / 127
    rounded = np.round(kernel.variable.numpy() / scale) * scale
    assert np.abs(rounded - kernel.variable.numpy()).max() > 1e-4
    kernel.variable.assign(rounded)
    np.testing.assert_allclose(predict(fake, (x,))[0], before, atol=1e-5)


@pytest.mark.parametrize("function", ["elu", "selu", "relu6", "hard_sigmoid", "softmax", "swish", "gelu", "tanh"])
def test_layers_with_any_activation_function_are_fake_quantized(function: str, tmp_path: Path) -> None:
    fake, x = _fake(_model((12,), layers.Dense(8, activation=function), layers.Dense(3)))
    assert sum(type(layer).__name__ == "QuantizeWrapperV2" for layer in fake.layers) == 2
    export_tflite(fake, Split((x,)), tmp_path / "qat")
    (got,), (wanted,) = HostInterpreter(tmp_path / "qat", threads=1).run((x,)), predict(fake, (x,))
    # The converter makes several operators of some functions, each with a rounding of its own.
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.99


def test_branches_sums_and_concatenations_are_fake_quantized(tmp_path: Path) -> None:
    inputs = layers.Input((8, 8, 4))
    a = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    b = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(inputs)))
    total = layers.ReLU()(layers.Add()([a, b]))
    joined = layers.Concatenate()([total, layers.AveragePooling2D(1)(b), layers.MaxPooling2D(1)(a)])
    model = _awake(keras.Model(inputs, [layers.Conv2D(3, 1)(joined), layers.Flatten()(total)]))
    fake, x = _fake(model)
    assert export_tflite(fake, Split((x,)), tmp_path / "qat").notes == ()
    got, wanted = HostInterpreter(tmp_path / "qat", threads=1).run((x,)), predict(fake, (x,))
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=0.03 * np.abs(theirs).max())


def test_operations_written_as_functions_are_part_of_the_graph() -> None:
    inputs = layers.Input((8, 8, 4))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs))
    model = _awake(keras.Model(inputs, layers.Dense(3)(keras.backend.mean(keras.activations.relu(x) + inputs, (1, 2)))))
    fake, x = _fake(model)
    got, wanted = predict(fake, (x,))[0], predict(model, (x,))[0]
    np.testing.assert_allclose(got, wanted, atol=0.1 * np.abs(wanted).max())


def test_masked_layers_are_left_to_quantization_after_training_and_named() -> None:
    inputs = layers.Input((6,), dtype="int32")
    x = layers.Dense(8, name="words")(layers.Embedding(20, 8, mask_zero=True, name="embedding")(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling1D()(x)))
    words = np.random.default_rng(1).integers(0, 20, (16, 6)).astype(np.int32)
    fake, notes = with_fake_quant(model, (words,))
    assert notes == ("quantized after training only, unknown to TFMOT: embedding (Embedding), words (Dense)",)
    np.testing.assert_allclose(predict(fake, (words,))[0], predict(model, (words,))[0], atol=0.05)


def test_a_loss_may_go_on_naming_outputs() -> None:
    inputs = layers.Input((12,))
    x = layers.Dense(8, activation="relu")(inputs)
    model = keras.Model(inputs, [layers.Dense(2, name="left")(x), layers.Dense(3, name="right")(x)])
    fake, samples = _fake(model)
    fake.compile("sgd", {"left": "mse", "right": "mae"})
    fake.fit(samples, {"left": samples[:, :2], "right": samples[:, :3]}, verbose=0)


class Loose(layers.Layer):
    """Refuses to be part of a flat model."""

    def call(self, inputs: Any) -> Any:
        if self.name.startswith("inner/"):
            raise ValueError("not under that name")
        return inputs * 2


def test_a_model_that_can_not_be_rebuilt_is_copied_and_said_so() -> None:
    inner = _model((12,), layers.Dense(8), Loose())
    inner._name = "inner"
    inputs = layers.Input((12,))
    model = keras.Model(inputs, layers.Dense(3)(inner(inputs)))
    fake, notes = with_fake_quant(model, (tiny_models.samples((12,)),))
    assert len(notes) == 1 and "can't be fake-quantized" in notes[0] and "inner/loose" in notes[0]
    assert not any(type(layer).__name__ == "QuantizeWrapperV2" for layer in fake.layers)
    x = tiny_models.samples((12,))
    np.testing.assert_allclose(predict(fake, (x,))[0], predict(model, (x,))[0], rtol=1e-5, atol=1e-6)


class Secret(layers.Layer):
    """Computes with what its configuration does not tell."""

    factor = 1.0

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


def test_a_model_whose_copy_computes_something_else_is_refused_in_one_line() -> None:
    secret = Secret()
    secret.factor = 3.0
    model = _model((12,), layers.Dense(8), secret, layers.Dense(3))
    with pytest.raises(ModelError, match=r"computes something else.*get_config") as caught:
        with_fake_quant(model, (tiny_models.samples((12,)),))
    assert "\n" not in str(caught.value)


def test_activation_ranges_start_at_what_the_samples_need() -> None:
    model = _model((12,), layers.Dense(8, activation="relu"), layers.Dense(3))
    x = tiny_models.samples((12,)) / 50
    fake = quantized_graph(model).model
    outputs = observe_ranges(fake, [x[:40], x[40:]])
    hidden = keras.Model(model.inputs, model.layers[1].output).predict(x, verbose=0)
    ranges = {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in fake.layers[2].weights if "ivation" in w.name}
    assert ranges["post_activation_max"] == pytest.approx(hidden.max(), rel=0.02)
    assert ranges["post_activation_min"] == 0
    entry = {w.name.split("_")[-1].split(":")[0]: w.numpy() for w in fake.layers[1].weights}
    assert (entry["min"], entry["max"]) == (pytest.approx(x.min()), pytest.approx(x.max()))
    np.testing.assert_allclose(np.concatenate(outputs), model(x), atol=0.02 * np.abs(model(x)).max())


def test_small_activations_keep_their_resolution_through_a_short_training() -> None:
    model = _model((12,), layers.Dense(8, activation="relu"), layers.Dense(3))
    model.set_weights([weight / 20 for weight in model.get_weights()])
    context = tiny_models.context_for(model, learning_rate=1e-4)
    trained = STAGES["qat"].apply(Workpiece(copy_model(model), Constraints()), context).model
    wanted = predict(model, context.data.train.x)[0]
    got = predict(trained, context.data.train.x)[0]
    # From TFMOT's -6..6 a code would be 0.05, more than most of these outputs are.
    assert np.abs(wanted).max() < 0.05 and len(np.unique(got)) > 50

"""Which parts of a layer TFMOT's wrapper quantizes in training, and with what ranges they start.

TFMOT's wrapper, activation quantizers and registry are used as they are. Its graph transform is not: see
docs/adr/011-fake-quantization.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tensorflow_model_optimization.python.core.quantization.keras import (
    quant_ops,
    quantize_aware_activation,
    quantizers,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_configs import (
    Default8BitOutputQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_registry import (
    Default8BitQuantizeRegistry,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapperV2

from armopt.compress.backend import keras, tf
from armopt.compress.int8_grid import on_grid
from armopt.compress.kernels import einsum_inputs, einsum_is_batched, kernel_axes

layers = keras.layers

# Layers with a kernel that can be fake-quantized: its attribute, and the axes along which weights share a scale in the
# file: those that one output sums over (a test holds them together with `scales.scale_groups`).
KERNEL_AXES: dict[type, tuple[str, tuple[int, ...]]] = {
    kind: kernel_axes(kind)
    for kind in (
        layers.Conv1D,
        layers.Conv2D,
        layers.Conv1DTranspose,
        layers.Conv2DTranspose,
        layers.DepthwiseConv1D,
        layers.DepthwiseConv2D,
        layers.Dense,
    )
}
# What of a layer's result is quantized: what its activation function is given or gives, as TFMOT knows the function;
# its output; or nothing, since the converter fuses what follows.
Place = Literal["activation", "output", "nowhere"]

# What a step leaves of an activation's range.
_DECAY = 0.99
# An activation range of nothing would make the converter divide by zero.
_LEAST_RANGE = 1e-6


class KernelQuantizer(quantizers.Quantizer):
    """Rounds a kernel to its INT8 codes in training and evaluation; the converter gets it as it is.

    Args:
        axes: along which weights share a scale.
    """

    def __init__(self, axes: Sequence[int]) -> None:
        self.axes = tuple(axes)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """No variables: the range is the kernel's own at every call, never that of an earlier step."""
        return {}

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        """The rounded kernel."""
        return on_grid(inputs, self.axes)

    def get_config(self) -> dict[str, Any]:
        """For TFMOT's interface."""
        return {"axes": self.axes}


@keras.utils.register_keras_serializable("armopt")
class KernelConfig(QuantizeConfig):
    """How TFMOT's wrapper quantizes a layer with a kernel.

    Args:
        attribute: the kernel's.
        axes: along which its weights share a scale.
        place: what of the layer's result is quantized.
    """

    def __init__(self, attribute: str, axes: Sequence[int], place: Place) -> None:
        self.attribute, self.axes, self.place = attribute, tuple(axes), place

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The kernel."""
        return [(getattr(layer, self.attribute), KernelQuantizer(self.axes))]

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Give the layer the rounded kernel to compute with."""
        setattr(layer, self.attribute, quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The activation function, where it is one that TFMOT knows."""
        return [(layer.activation, _activation_quantizer())] if self.place == "activation" else []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Give the layer the quantizing activation function."""
        if quantize_activations:
            layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """The output's quantizer, where the activation function has none."""
        return [_activation_quantizer()] if self.place == "output" else []

    def get_config(self) -> dict[str, Any]:
        """For TFMOT's interface."""
        return {"attribute": self.attribute, "axes": self.axes, "place": self.place}


@keras.utils.register_keras_serializable("armopt")
class OutputConfig(Default8BitOutputQuantizeConfig):
    """How TFMOT's wrapper quantizes the output of a layer without a kernel, if at all."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """The output's quantizer."""
        return [_activation_quantizer()] if self.quantize_output else []


class ActivationQuantizer(quantizers.MovingAverageQuantizer):
    """TFMOT's quantizer for activations, whose range follows within a hundred steps instead of a thousand.

    TFMOT's rate is for training of many epochs. Where a few hundred steps make activations grow, a range that stays
    behind cuts them off.
    """

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        """The fake-quantized tensor; in training the range moves towards the batch's."""
        return quant_ops.MovingAvgQuantize(
            inputs,
            weights["min_var"],
            weights["max_var"],
            ema_decay=_DECAY,
            is_training=training,
            num_bits=self.num_bits,
            per_channel=self.per_axis,
            symmetric=self.symmetric,
            narrow_range=self.narrow_range,
        )


def _activation_quantizer() -> Any:
    return ActivationQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)


_REGISTRY = Default8BitQuantizeRegistry()


def config_of(layer: Any, fused: bool) -> Any:
    """The configuration of TFMOT's wrapper for a layer, or None where TFMOT does not know it.

    Args:
        layer: built, called or not.
        fused: the converter fuses the layer with the one behind it, so that its own result is never quantized.
    """
    if type(layer) in KERNEL_AXES:
        attribute, axes = KERNEL_AXES[type(layer)]
        return KernelConfig(attribute, axes, "nowhere" if fused else _place(layer.activation))
    if type(layer) is layers.EinsumDense:
        # The converter makes a FULLY_CONNECTED of it, and fails where that has its input quantized and not its output.
        return KernelConfig("kernel", _einsum_axes(layer), "nowhere" if fused else _place(layer.activation))
    if type(layer) is layers.BatchNormalization:
        return OutputConfig(not fused)
    if not _REGISTRY.supports(layer) or getattr(layer, "cell", None) is not None:
        return None
    try:
        quantizes = bool(_REGISTRY.get_quantize_config(layer).get_output_quantizers(layer))
    except ValueError:  # an activation layer with a function that TFMOT does not know
        return None
    return OutputConfig(quantizes and not fused)


def _einsum_axes(layer: Any) -> tuple[int, ...]:
    # FULLY_CONNECTED has a scale for each output, BATCH_MATMUL one for all weights.
    if einsum_is_batched(layer.equation):
        return tuple(range(len(layer.kernel.shape)))
    return einsum_inputs(layer.equation)


def _place(activation: Any) -> Place:
    try:
        quantize_aware_activation.QuantizeAwareActivation(activation, _Nowhere(), None, None)
    except ValueError:
        return "output"
    return "activation"


class _Nowhere:
    """Stands for a quantizer where TFMOT is only asked whether it knows an activation function."""

    def build(self, *arguments: Any) -> dict[str, Any]:
        return {}


def wrapped(layer: Any, config: Any) -> Any:
    """The layer in TFMOT's wrapper, under its own name; the layer itself where nothing of it is quantized."""
    if not (
        config.get_weights_and_quantizers(layer)
        or config.get_activations_and_quantizers(layer)
        or config.get_output_quantizers(layer)
    ):
        return layer
    return QuantizeWrapperV2(layer, config, name_prefix="")


def quantized_input(tensor: Any) -> Any:
    """A model's input behind TFMOT's quantizing layer."""
    quantizer = quantizers.AllValuesQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
    return QuantizeLayer(quantizer)(tensor)


def observe_ranges(model: Any, batches: Iterable[Any]) -> list[Any]:
    """Start every activation range at what samples need, computed without quantizing activations.

    TFMOT starts at -6..6 and moves by a thousandth a step: after the few hundred steps of fine-tuning most of that
    guess is still there, and where activations are small a few codes have to do for them.

    Args:
        model: a fake-quant model.
        batches: samples, as the model takes them.

    Returns:
        The model's outputs, batch by batch.
    """
    observer = _Observer()
    watched: list[tuple[Any, str, Any]] = []
    for layer in model.layers:
        for holder in (layer, *getattr(layer, "_quantize_activations", ())):
            if getattr(holder, "quantizer", None) is not None:
                watched.append((holder, "quantizer", holder.quantizer))
        if getattr(layer, "_output_quantizers", None):
            watched.append((layer, "_output_quantizers", layer._output_quantizers))
    try:
        for holder, attribute, _ in watched:
            setattr(holder, attribute, observer if attribute == "quantizer" else [observer])
        return [model(batch, training=False) for batch in batches]
    finally:
        for holder, attribute, quantizer in watched:
            setattr(holder, attribute, quantizer)


class _Observer:
    """Notes the range of all that passes, as a quantizer would, and lets it pass as it is."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        lowest, highest = weights["min_var"], weights["max_var"]
        if id(lowest) not in self._seen:
            self._seen.add(id(lowest))
            lowest.assign(0.0)
            highest.assign(_LEAST_RANGE)
        lowest.assign(tf.minimum(tf.reduce_min(inputs), lowest))
        highest.assign(tf.maximum(tf.reduce_max(inputs), highest))
        return inputs


def is_relu(layer: Any) -> bool:
    """True for layers that the converter fuses into the one before them."""
    if isinstance(layer, layers.Activation):
        return getattr(layer.activation, "__name__", "") in ("relu", "relu6")
    if type(layer).__name__ == "TFOpLambda":
        return layer.get_config().get("function") in ("nn.relu", "nn.relu6")
    return type(layer) is layers.ReLU

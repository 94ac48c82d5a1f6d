"""Rebuilds a model flat, with every layer that TFMOT can quantize in its wrapper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from armopt.compress.backend import keras, tf
from armopt.compress.fake_quant import KERNEL_AXES, config_of, is_relu, quantized_input, wrapped
from armopt.compress.flatten import Call, Value, flatten, unique_name

layers = keras.layers


@dataclass(frozen=True, eq=False)
class QuantizedGraph:
    """A fake-quant model and how it came from its source.

    Attributes:
        model: flat; shares nothing with the source.
        variables: by `id` of a source's variable the one that stands for it.
        left: paths of layers with weights that stay float in training, each with its kind.
    """

    model: Any
    variables: dict[int, Any]
    left: tuple[str, ...]


def quantized_graph(source: Any) -> QuantizedGraph:
    """The fake-quant twin of a Sequential or functional model, models within it included.

    A layer that is called several times gets a wrapper for each call, so that each has activation ranges of its own;
    the variables are one set.
    """
    return _Builder(source).built()


class _Builder:
    def __init__(self, source: Any) -> None:
        self._source = source
        self._flat = flatten(source)
        self._consumers = self._flat.consumers()
        self._makers = self._flat.makers()
        self._tensors: dict[Value, Any] = {}
        self._variables: dict[int, Any] = {}
        self._first: dict[int, Any] = {}
        self._left: dict[str, None] = {}
        self._names: set[str] = set()

    def built(self) -> QuantizedGraph:
        inputs = []
        for value, tensor in zip(self._flat.inputs, self._source.inputs, strict=True):
            entry = keras.Input(batch_shape=tuple(tensor.shape), dtype=tensor.dtype, name=self._unique(tensor.name))
            inputs.append(entry)
            self._tensors[value] = quantized_input(entry) if tensor.dtype.is_floating else entry
        for call in self._flat.calls:
            args, kwargs = tf.nest.map_structure(self._tensor, (call.args, call.kwargs))
            self._tensors.update(zip(call.outputs, tf.nest.flatten(self._called(call, args, kwargs)), strict=True))
        outputs = [self._tensors[value] for value in self._flat.outputs]
        model = keras.Model(inputs, tf.nest.pack_sequence_as(self._source._nested_outputs, outputs))
        model._name = self._source.name
        model.output_names = list(self._source.output_names)  # a loss may name them
        return QuantizedGraph(model, self._variables, tuple(self._left))

    def _tensor(self, argument: Any) -> Any:
        return self._tensors[argument] if isinstance(argument, Value) else argument

    def _called(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call in the new model: its layer's twin, wrapped where TFMOT knows it."""
        if id(call.layer) in self._first:
            return self._first[id(call.layer)](*args, **kwargs)
        known = self._is_known(call, args, kwargs)
        if not known:
            if call.layer.weights:
                self._left[f"{call.path} ({_kind(call.layer)})"] = None
            twin = _twin(call.layer, self._unique(call.path))
            result = twin(*args, **kwargs)
            self._stand_for(zip(call.layer.weights, twin.weights, strict=True), twin)
            for layer in twin._flatten_layers():
                layer.finalize_state()  # preprocessing layers compute with what they derive from their variables
            self._first[id(call.layer)] = twin
            return result
        result = args[0]
        parts = _parts(call.layer, call.path)
        for number, (twin, attributes) in enumerate(parts):
            twin._name = self._unique(twin.name)
            plain = twin(result, **kwargs)
            pairs = (
                [(getattr(call.layer, theirs), getattr(twin, ours)) for ours, theirs in attributes.items()]
                if attributes
                else list(zip(call.layer.weights, twin.weights, strict=True))
            )
            self._stand_for(pairs, twin)
            fused = number == len(parts) - 1 and self._is_fused(call)
            wrapper = wrapped(twin, config_of(twin, fused))
            if wrapper is twin:
                result = plain
                continue
            options = kwargs if isinstance(call.layer, layers.BatchNormalization) else {}
            result = wrapper(result, **options)
            if not call.layer.trainable:  # the wrapper would train a frozen layer's kernel
                wrapper._non_trainable_weights.extend(wrapper._trainable_weights)
                wrapper._trainable_weights = []
        return result

    def _is_known(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        layer = call.layer
        if len(args) != 1 or set(kwargs) - {"training"} or isinstance(layer, keras.Model):
            return False
        # The wrapper passes no mask on.
        if any(getattr(tensor, "_keras_mask", None) is not None for tensor in tf.nest.flatten(args)):
            return False
        if type(layer) is layers.BatchNormalization:
            return self._is_folded(call)
        if type(layer) in _SEPARABLE:
            return bool(layer.padding != "causal")
        return config_of(layer, False) is not None

    def _is_fused(self, call: Call) -> bool:
        """True where the converter makes one operator of this call and the next, with no codes between them."""
        follower = self._only_consumer(call)
        if follower is None:
            return False
        if _has_kernel(call.layer):
            return _is_linear(call.layer) and (self._is_folded(follower) or is_relu(follower.layer))
        if type(call.layer) in (layers.BatchNormalization, layers.Add) and is_relu(follower.layer):
            return True
        return isinstance(follower.layer, layers.Concatenate) and self._is_quantized_once(follower)

    def _is_folded(self, call: Call) -> bool:
        """True for batch normalization of the last axis right behind a layer with a kernel and no activation."""
        norm = call.layer
        if type(norm) is not layers.BatchNormalization or list(norm.axis) != [norm.input_spec.ndim - 1]:
            return False
        maker = self._makers.get(call.inputs[0])
        return (
            maker is not None
            and _has_kernel(maker.layer)
            and _is_linear(maker.layer)
            and self._only_consumer(maker) is call
        )

    def _is_quantized_once(self, concatenation: Call) -> bool:
        """A concatenation has one scale: its parts are quantized behind it, where all of them can wait for that."""
        makers = [self._makers.get(value) for value in concatenation.inputs]
        return all(
            maker is not None and self._only_consumer(maker) is concatenation and self._is_simple(maker)
            for maker in makers
        )

    def _is_simple(self, call: Call) -> bool:
        return type(call.layer) is layers.BatchNormalization or config_of(call.layer, False) is not None

    def _only_consumer(self, call: Call) -> Call | None:
        found = self._consumers.get(call.outputs[0], [])
        return found[0] if len(call.outputs) == len(found) == 1 else None

    def _stand_for(self, pairs: Iterable[tuple[Any, Any]], twin: Any) -> None:
        """Give new variables the values of the source's; a later call's variables become the first call's."""
        for theirs, ours in pairs:
            first = self._variables.setdefault(id(theirs), ours)
            if first is ours:
                ours.assign(theirs)
                continue
            attribute = next(name for name, value in vars(twin).items() if value is ours)
            setattr(twin, attribute, first)

    def _unique(self, name: str) -> str:
        return unique_name(name.split(":")[0], self._names)


_SEPARABLE = {
    layers.SeparableConv1D: (layers.DepthwiseConv1D, layers.Conv1D),
    layers.SeparableConv2D: (layers.DepthwiseConv2D, layers.Conv2D),
}


def _has_kernel(layer: Any) -> bool:
    return type(layer) in KERNEL_AXES or type(layer) in _SEPARABLE


def _is_linear(layer: Any) -> bool:
    return getattr(layer.activation, "__name__", "") == "linear"


def _kind(layer: Any) -> str:
    return "subclassed model" if isinstance(layer, keras.Model) else type(layer).__name__


def _twin(layer: Any, name: str) -> Any:
    twin = type(layer).from_config(layer.get_config())
    twin._name = name
    return twin


def _parts(layer: Any, path: str) -> list[tuple[Any, dict[str, str]]]:
    """Layers that compute one after the other what `layer` does, with the attributes that hold its variables.

    A separable convolution is quantized between its two convolutions, as it is in the file. No attributes: a twin
    with the same variables in the same order.
    """
    if type(layer) not in _SEPARABLE:
        return [(_twin(layer, path), {})]
    depthwise, pointwise = _SEPARABLE[type(layer)]
    first = depthwise(
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        depth_multiplier=layer.depth_multiplier,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
        use_bias=False,
        depthwise_regularizer=layer.depthwise_regularizer,
        depthwise_constraint=layer.depthwise_constraint,
        trainable=layer.trainable,
        name=f"{path}/depthwise",
    )
    second = pointwise(
        layer.filters,
        1,
        data_format=layer.data_format,
        activation=layer.activation,
        use_bias=layer.use_bias,
        kernel_regularizer=layer.pointwise_regularizer,
        bias_regularizer=layer.bias_regularizer,
        kernel_constraint=layer.pointwise_constraint,
        bias_constraint=layer.bias_constraint,
        trainable=layer.trainable,
        name=f"{path}/pointwise",
    )
    bias = {"bias": "bias"} if layer.use_bias else {}
    return [(first, {"depthwise_kernel": "depthwise_kernel"}), (second, {"kernel": "pointwise_kernel", **bias})]

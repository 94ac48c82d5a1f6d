"""Rebuilds a Keras 3 model in Keras 2 (tf-keras): the graph is walked, each layer made from its configuration."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

from armopt.compress.backend import keras as keras2
from armopt.compress.backend import tf
from armopt.compress.keras3_layer import Keras3Layer, Untracked
from armopt.core.errors import ModelError

# Configuration keys that Keras 3 renamed.
_RENAMED = {
    "LeakyReLU": {"negative_slope": "alpha"},
    "InputLayer": {"batch_shape": "batch_input_shape"},
}
_BASE_KEYS = frozenset({"name", "trainable", "dtype"})


def bridge_model(source: Any, objects: dict[str, Any], trust_model: bool) -> Any:
    """The Keras 2 twin of a Keras 3 model, with equal weights.

    Args:
        source: path of a Keras 3 file, or a Keras 3 model.
        objects: the user's own layers and functions by name.
        trust_model: allow Lambda layers.

    Raises:
        ModelError: a layer that has no twin, by name.
    """
    import keras as keras3

    if isinstance(source, (str, Path)):
        # The optimizer's state of the training script is not needed, and Keras warns that it does not fit.
        with keras3.saving.custom_object_scope(objects), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model3 = keras3.saving.load_model(source, safe_mode=not trust_model)
            except (TypeError, ValueError):
                model3 = keras3.saving.load_model(source, safe_mode=not trust_model, compile=False)
    else:
        model3 = source
    made: dict[int, tuple[Any, Any]] = {}
    model2 = _rebuild(model3, made)
    for layer3, layer2 in made.values():
        _copy_weights(layer3, layer2)
    _check_outputs(model3, model2)
    _compile_alike(model3, model2)
    return model2


def _rebuild(model3: Any, made: dict[int, tuple[Any, Any]]) -> Any:
    import keras as keras3

    if isinstance(model3, keras3.Sequential):
        graph = getattr(model3, "_functional", None)
        if graph is None:
            raise ModelError(f"Sequential model '{model3.name}' has no known input shape", "build it before saving")
    elif isinstance(
        model3, keras3.models.Functional if hasattr(keras3.models, "Functional") else keras3.Model
    ) and hasattr(model3, "_nodes_by_depth"):
        graph = model3
    else:
        raise ModelError(
            f"'{model3.name}' is a subclassed Keras 3 model, which can't be bridged to Keras 2",
            "write it with the functional API, or with tf-keras",
        )
    tensors: dict[int, Any] = {}
    for tensor in graph.inputs:
        shape = tuple(tensor.shape)
        tensors[id(tensor)] = keras2.Input(batch_shape=shape, dtype=str(tensor.dtype), name=_input_name(tensor))
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            _call_node(node, tensors, made)
    inputs = [tensors[id(tensor)] for tensor in graph.inputs]
    outputs = [tensors[id(tensor)] for tensor in graph.outputs]
    return keras2.Model(
        inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0], name=model3.name
    )


def _input_name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _call_node(node: Any, tensors: dict[int, Any], made: dict[int, tuple[Any, Any]]) -> None:
    args, kwargs = _mapped(node.arguments.args, tensors), _mapped(node.arguments.kwargs, tensors)
    operation = node.operation
    if type(operation).__module__.startswith("keras.src.ops"):
        result = _call_operation(operation, args, kwargs)
    else:
        if id(operation) not in made:
            made[id(operation)] = (operation, _twin(operation, made))
        kwargs = {key: value for key, value in kwargs.items() if value is not None}
        result = made[id(operation)][1](*args, **kwargs)
    outputs = result if isinstance(result, (list, tuple)) else [result]
    for tensor3, tensor2 in zip(node.output_tensors, outputs, strict=False):
        tensors[id(tensor3)] = tensor2


def _mapped(value: Any, tensors: dict[int, Any]) -> Any:
    if id(value) in tensors:
        return tensors[id(value)]
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(part, tensors) for part in value)
    if isinstance(value, dict):
        return {key: _mapped(part, tensors) for key, part in value.items()}
    return value


_OPERATIONS = {
    "Add": tf.add,
    "Subtract": tf.subtract,
    "Multiply": tf.multiply,
    "TrueDivide": tf.divide,
    "Divide": tf.divide,
    "Relu": tf.nn.relu,
    "Sigmoid": tf.sigmoid,
    "Tanh": tf.tanh,
    "Softmax": tf.nn.softmax,
    "Exp": tf.exp,
    "Log": tf.math.log,
    "Sqrt": tf.sqrt,
    "Square": tf.square,
    "Absolute": tf.abs,
    "Negative": tf.negative,
    "Maximum": tf.maximum,
    "Minimum": tf.minimum,
    "Matmul": tf.matmul,
}


def _call_operation(operation: Any, args: Any, kwargs: Any) -> Any:
    """`keras.ops` calls and operators on symbolic tensors."""
    name = type(operation).__name__
    if name in _OPERATIONS:
        return _OPERATIONS[name](*args, **kwargs)
    if name == "Reshape":
        return tf.reshape(args[0], [-1 if size is None else size for size in operation.newshape])
    if name == "Concatenate":
        return tf.concat(args[0], operation.axis)
    if name == "Transpose":
        return tf.transpose(args[0], operation.axes)
    if name == "Mean":
        return tf.reduce_mean(args[0], operation.axis, operation.keepdims)
    raise ModelError(
        f"operation '{operation.name}' (keras.ops {name}) can't be bridged to Keras 2", "use a layer for it"
    )


def _twin(layer3: Any, made: dict[int, tuple[Any, Any]]) -> Any:
    import keras as keras3

    if isinstance(layer3, keras3.Model):
        # The inner layers carry the weights; the nested model itself is not in `made` under a weight-bearing pair.
        return _rebuild(layer3, made)
    name = type(layer3).__name__
    kind = getattr(keras2.layers, name, None)
    if not type(layer3).__module__.startswith("keras.") or kind is None:
        return Keras3Layer(layer3)
    try:
        # Keras 2 wants this one's input shapes in the configuration, unless it is made by its constructor.
        config = _config(layer3.get_config(), name, kind)
        return kind(**config) if name == "MultiHeadAttention" else kind.from_config(config)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ModelError(
            f"layer '{layer3.name}' ({name}) can't be bridged to Keras 2: {str(error).splitlines()[0][:120]}",
            "replace the layer, or build the model with tf-keras",
        ) from error


def _config(config: dict[str, Any], name: str, kind: Any) -> dict[str, Any]:
    renamed = {_RENAMED.get(name, {}).get(key, key): value for key, value in config.items()}
    accepted = set(_BASE_KEYS)
    for base in kind.__mro__:
        if "__init__" in vars(base):
            accepted |= set(inspect.signature(base.__init__).parameters)
    return {key: _plain(value) for key, value in renamed.items() if key in accepted}


def _plain(value: Any) -> Any:
    """Serialized parts in the words of Keras 2: dtype policies are names there, and Keras 3 has keys of its own."""
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    if {"module", "class_name", "config"} <= set(value):
        name = value["class_name"]
        # "keras.initializers" -> keras2.initializers
        kind = getattr(getattr(keras2, str(value["module"]).rpartition(".")[2], None), name, None)
        return {"class_name": name, "config": _config(value["config"], name, kind)} if kind is not None else value
    return {key: _plain(part) for key, part in value.items()}


def _copy_weights(layer3: Any, layer2: Any) -> None:
    import keras as keras3

    if isinstance(layer3, keras3.Model) or isinstance(layer2, Keras3Layer):
        return
    values = [weight.numpy() for weight in layer3.weights]
    if [value.shape for value in values] != [tuple(weight.shape) for weight in layer2.weights]:
        raise ModelError(
            f"layer '{layer3.name}' ({type(layer3).__name__}) has other weights in Keras 2 than in Keras 3",
            "replace the layer, or build the model with tf-keras",
        )
    layer2.set_weights(values)


# Largest difference allowed between the two, relative to the largest output.
TOLERANCE = 1e-4


def outputs_differ(model3: Any, model2: Any, x: Any) -> float:
    """Largest difference of the two models' outputs on inputs `x`, relative to the largest output (at least 1)."""
    import numpy as np

    worst = 0.0
    pairs = zip(tf.nest.flatten(model3(x, training=False)), tf.nest.flatten(model2(x, training=False)), strict=True)
    for a, b in ((np.asarray(one, np.float64), np.asarray(other, np.float64)) for one, other in pairs):
        # A logarithm of random inputs is NaN in both; NaN or infinity in one of them is the largest of differences.
        equal = (a == b) | (np.isnan(a) & np.isnan(b))
        gaps = np.nan_to_num(np.abs(np.where(equal, 0.0, a) - np.where(equal, 0.0, b)), nan=np.inf)
        worst = max(worst, float(gaps.max(initial=0) / np.abs(a[np.isfinite(a)]).max(initial=1)))
    return worst


def _check_outputs(model3: Any, model2: Any) -> None:
    """A first check on random inputs; `flow` repeats it on the user's samples through `model2.keras3_twin`."""
    import numpy as np

    random = np.random.default_rng(1)
    x = []
    for tensor in model2.inputs:
        shape = [size if size is not None else (2 if axis == 0 else 8) for axis, size in enumerate(tensor.shape)]
        values = random.integers(0, 2, shape) if tensor.dtype.is_integer else random.normal(size=shape)
        x.append(tf.constant(values.astype(tensor.dtype.as_numpy_dtype)))
    check_bridge(model3, model2, x if len(x) > 1 else x[0])
    model2.keras3_twin = Untracked(model3)


def check_bridge(model3: Any, model2: Any, x: Any) -> None:
    """Demand that both models say the same on `x`.

    Raises:
        ModelError: the outputs differ by more than `TOLERANCE`.
    """
    worst = outputs_differ(model3, model2, x)
    if not worst <= TOLERANCE:
        raise ModelError(
            f"the model says something else in Keras 2 than in Keras 3 (outputs differ by {worst:.2g})",
            "build the model with tf-keras, and report the layer types in it",
        )


def _compile_alike(model3: Any, model2: Any) -> None:
    """Carry loss and metrics over where Keras 2 knows them by name; else the task is inferred as for others."""
    config = (model3.get_compile_config() if getattr(model3, "compiled", False) else None) or {}
    loss, metrics = config.get("loss"), config.get("metrics")
    try:
        loss2 = _loss_or_metric(loss, keras2.losses)
        metrics2 = [
            _loss_or_metric(metric, keras2.metrics) for metric in metrics or [] if isinstance(metric, (str, dict))
        ]
    except (AttributeError, TypeError, KeyError):
        return
    if loss2 is not None:
        model2.compile(loss=loss2, metrics=metrics2)


def _loss_or_metric(value: Any, room: Any) -> Any:
    if isinstance(value, dict):
        kind = getattr(room, value["class_name"])
        accepted = inspect.signature(kind.__init__).parameters
        return kind(
            **{
                key: part
                for key, part in value["config"].items()
                if key in accepted and key not in ("dtype", "reduction")
            }
        )
    return value

"""Loads a model in any format that Keras writes, bridged to the Keras that armopt trains with, and copies it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from armopt.compress.backend import keras, tf
from armopt.compress.bridge import bridge_model
from armopt.compress.data import Array
from armopt.compress.flatten import is_graph
from armopt.compress.names import model_name
from armopt.compress.usercode import import_module
from armopt.core.errors import ModelError


@dataclass(frozen=True)
class Source:
    """The model as given. It is never trained or changed: stages work on copies.

    Attributes:
        model: a built tf-keras model.
        name: short name for folders and tables.
        notes: what was done to load it, in sentences.
    """

    model: Any
    name: str
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 over architecture and weights, the same whatever file they came from."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.model)


def load_model(what: str, custom_objects: str | None = None, trust_model: bool = False) -> Source:
    """Load `.keras` (Keras 2 or 3), `.h5` or a SavedModel folder.

    Args:
        what: path.
        custom_objects: module with the model's own layers, losses and metrics.
        trust_model: allow Lambda layers and other code embedded in the file.

    Raises:
        ModelError: missing, damaged, of an unknown format, with embedded code, or not bridgeable.
    """
    path = Path(what).expanduser()
    if not path.exists():
        raise ModelError(f"model '{what}' not found", "check the path")
    form = _format_of(path)
    objects = _objects_of(import_module(custom_objects, "--custom-objects")) if custom_objects else {}
    if not trust_model and _has_embedded_code(path, form):
        raise ModelError(
            f"model '{what}' has code embedded in it (a Lambda layer)",
            "write it as a custom layer, or pass --trust-model if you trust whoever made the file",
        )
    notes: tuple[str, ...] = ()
    with _clear_errors(what):
        if form in ("keras3", "h5-keras3"):
            model = bridge_model(path, objects, trust_model)
            notes = ("Keras 3 model rebuilt in Keras 2 (tf-keras); armopt checks that the outputs agree",)
        else:
            model = _load_keras2(path, form, objects, trust_model)
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"SavedModel '{what}' holds a graph without its Keras layers", "save the model as .keras instead"
        )
    return Source(_built(model, what), model_name(path), notes)


def as_source(model: Any) -> Source:
    """A model object from Python, Keras 2 or Keras 3, as a source.

    Raises:
        ModelError: not a Keras model, or one that can't be bridged.
    """
    if isinstance(model, keras.Model):
        return Source(_built(model, model.name), model.name)
    if type(model).__module__.startswith(("keras.", "keras_")) or any(
        base.__module__.startswith("keras.src") for base in type(model).__mro__
    ):
        return Source(bridge_model(model, {}, True), model.name, ("Keras 3 model rebuilt in Keras 2 (tf-keras)",))
    raise ModelError(f"{type(model).__name__} is not a Keras model", "give a Keras model or the path of one")


def copy_model(model: Any) -> Any:
    """A model of its own variables with equal weights. Layers are made anew, so that training one leaves the other.

    Raises:
        ModelError: a layer that can't be made from its configuration.
    """
    try:
        if isinstance(model, keras.Sequential) or getattr(model, "_is_graph_network", False):
            copy = keras.models.clone_model(model, clone_function=_twin_of)
        else:
            copy = type(model).from_config(model.get_config())
            copy(model.inputs)
        copy.set_weights(model.get_weights())
        # Layers that a custom layer makes without naming them are numbered on; kernels are known by their names.
        for layer, twin in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
            if twin.name != layer.name:
                twin._name = layer.name
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ModelError(
            f"model '{model.name}' can't be copied: {_first_line(error)}",
            "give every custom layer a get_config that returns its constructor's arguments",
        ) from error
    return copy


def _twin_of(layer: Any) -> Any:
    if is_graph(layer):
        # From its configuration, a model would look its layers' classes up by name, which finds registered ones only.
        twin = keras.models.clone_model(layer, clone_function=_twin_of)
    else:
        twin = type(layer).from_config(layer.get_config())
    # A subclassed model rarely configures its name; a graph finds its layers by the name they had when called.
    twin._name = layer.name
    return twin


def fingerprint(model: Any) -> str:
    """SHA-256 over a model's architecture and weights."""
    digest = hashlib.sha256()
    try:
        digest.update(model.to_json().encode())
    except (NotImplementedError, TypeError, ValueError):
        digest.update(type(model).__qualname__.encode())
    for weight in model.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(weight.tobytes())
    return digest.hexdigest()


def predict(model: Any, x: tuple[Array, ...], batch_size: int = 256) -> tuple[Array, ...]:
    """Outputs of a Keras model on samples, one array per output; a fixed batch is filled up and cut again."""
    fixed = fixed_batch(model)
    batch, count = fixed or batch_size, len(x[0])
    outputs: list[list[Array]] = []
    for start in range(0, count, batch):
        part = [array[start : start + batch] for array in x]
        rows = len(part[0])
        if fixed and rows < batch:
            part = [np.concatenate([array, np.repeat(array[-1:], batch - rows, axis=0)]) for array in part]
        result = model.predict_on_batch(part if len(part) > 1 else part[0])
        # Of a dictionary by the order of its keys, which is the order of `model.outputs`.
        outputs.append([np.asarray(array)[:rows] for array in tf.nest.flatten(result)])
    return tuple(np.concatenate([batch_outputs[i] for batch_outputs in outputs]) for i in range(len(outputs[0])))


def fixed_batch(model: Any) -> int | None:
    """The batch size that the model's inputs insist on, else None."""
    sizes = {tensor.shape[0] for tensor in model.inputs}
    return next((int(size) for size in sizes if size is not None), None)


def _format_of(path: Path) -> str:
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            return "saved_model"
        raise ModelError(f"folder '{path}' is not a SavedModel", "give a .keras or .h5 file, or a SavedModel folder")
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                metadata = json.loads(archive.read("metadata.json"))
        except (KeyError, ValueError, zipfile.BadZipFile, OSError) as error:
            raise ModelError(f"model '{path}' is damaged or not a .keras file", "save it again") from error
        return "keras3" if str(metadata.get("keras_version", "")).startswith("3") else "keras2"
    import h5py

    if h5py.is_hdf5(path):
        try:
            with h5py.File(path) as file:
                version = file.attrs.get("keras_version", b"2")
                if "model_config" not in file.attrs:
                    raise ModelError(f"'{path}' holds weights without their model", "save the whole model")
        except OSError as error:
            raise ModelError(f"model '{path}' is damaged", "save it again") from error
        text = version.decode() if isinstance(version, bytes) else str(version)
        return "h5-keras3" if text.startswith("3") else "h5"
    raise ModelError(
        f"model '{path}' is damaged or of an unknown format", "give a .keras or .h5 file or a SavedModel folder"
    )


def _has_embedded_code(path: Path, form: str) -> bool:
    if form == "saved_model":
        metadata = path / "keras_metadata.pb"
        text = metadata.read_bytes().decode("latin-1") if metadata.exists() else ""
    elif form in ("keras2", "keras3"):
        with _clear_errors(str(path)), zipfile.ZipFile(path) as archive:
            text = archive.read("config.json").decode()
    else:
        import h5py

        with h5py.File(path) as file:
            text = str(file.attrs["model_config"])
    compact = text.replace(" ", "")
    return '"class_name":"Lambda"' in compact or "__lambda__" in compact


def _load_keras2(path: Path, form: str, objects: dict[str, Any], trust_model: bool) -> Any:
    options = {"safe_mode": not trust_model} if form == "keras2" else {}
    with keras.utils.custom_object_scope(objects):
        try:
            return keras.models.load_model(path, **options)
        except (ValueError, TypeError, AttributeError, KeyError):
            # A loss or metric of the training script that isn't here must not keep the model from being compressed.
            return keras.models.load_model(path, compile=False, **options)


# What Keras 2 (of both formats) and Keras 3 say of a layer or function that they can't find, anywhere in their message.
_UNKNOWN = re.compile(
    r"Could not locate (?:class|function) '([^']+)'|Unknown [a-z ]+: '?([^'. ]+)"
    r"|Received: layer=(\S+) of type <class 'str'>"
)


@contextlib.contextmanager
def _clear_errors(what: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # Keras and h5py raise nearly anything on a bad file
        unknown = _UNKNOWN.search(str(error))
        if unknown:
            raise ModelError(
                f"model '{what}' has a part '{next(filter(None, unknown.groups()))}' that is not known here",
                "name the module that has it: --custom-objects mymodule",
            ) from error
        raise ModelError(
            f"model '{what}' can't be loaded: {_first_line(error)}", "the file may be damaged: save it again"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".;")


def _objects_of(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if callable(value) and not name.startswith("_")}


def _built(model: Any, what: str) -> Any:
    if not isinstance(model, keras.Sequential) and not getattr(model, "_is_graph_network", False):
        model = _as_functional(model)
    if model is None or not model.built or not getattr(model, "inputs", None):
        raise ModelError(f"model '{what}' has no known input shape", "build it or call it once before saving")
    stateful = [part.name for part in model._flatten_layers() if isinstance(part, keras.layers.RNN) and part.stateful]
    if stateful:
        # A .tflite has no place for it; found out at the export, all training would have been for nothing.
        raise ModelError(
            f"model '{what}' keeps a state from call to call in {', '.join(stateful)}", "make them with stateful=False"
        )
    return model


def _as_functional(model: Any) -> Any:
    """A subclassed model as the one layer of a functional model, which is copied and walked like any other.

    None where its input shape is not known.
    """
    specs, shape = getattr(model, "_saved_model_inputs_spec", None), getattr(model, "_build_input_shape", None)
    if isinstance(specs, (list, tuple)):
        inputs: Any = [keras.Input(spec.shape[1:], dtype=spec.dtype) for spec in specs]
    elif specs is not None and not isinstance(specs, dict):
        inputs = keras.Input(specs.shape[1:], dtype=specs.dtype)
    elif isinstance(shape, tuple) and all(size is None or isinstance(size, int) for size in shape):
        inputs = keras.Input(shape[1:])
    else:
        return None
    functional = keras.Model(inputs, model(inputs), name=model.name)
    if getattr(model, "loss", None):
        functional.compile(loss=model.loss, metrics=getattr(model.compiled_metrics, "_user_metrics", None))
    return functional

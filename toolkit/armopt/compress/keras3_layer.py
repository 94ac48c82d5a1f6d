"""A Keras 3 layer inside a Keras 2 model: for layers that only the user, or only Keras 3, knows."""

from __future__ import annotations

import inspect
from typing import Any

from armopt.compress.backend import keras as keras2


class Untracked:
    """Holds a Keras 3 object without Keras 2 tracking it as a sublayer."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Keras3Layer(keras2.layers.Layer):
    """A Keras 3 layer that Keras 2 does not know, run as it is inside a Keras 2 model.

    Its variables are tf.Variables underneath, so they train, save and export like any other.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(name=kwargs.pop("name", layer.name), **kwargs)
        self._held = Untracked(layer)
        self._trainable_weights = [variable.value for variable in layer.trainable_variables]
        self._non_trainable_weights = [variable.value for variable in layer.non_trainable_variables]

    @property
    def wrapped(self) -> Any:
        """The Keras 3 layer."""
        return self._held.value

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapped layer."""
        accepted = inspect.signature(self.wrapped.call).parameters
        if "training" not in accepted:
            kwargs.pop("training", None)
        return self.wrapped(inputs, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Configuration that makes an equal layer with fresh weights."""
        return {"layer": self.wrapped, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Keras3Layer:
        """A layer of its own with the same configuration; built like the original, weights to be set by the caller."""
        original = config["layer"]
        fresh = type(original).from_config(original.get_config())
        fresh.build_from_config(original.get_build_config() or {})
        return cls(fresh, name=config["name"])

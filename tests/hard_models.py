"""Models on which hand-written chains lose structure, and data for them; no two kernels of a model have one shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from armopt.compress.backend import keras
from armopt.compress.data import Array

layers = keras.layers
CLASSES = 3


def data_for(shape: tuple[int, ...], count: int = 192) -> tuple[Array, Array]:
    """Random samples; the label is the third of the sample with the largest mean, which a small network can learn."""
    x = np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)
    thirds = np.array_split(x.reshape(count, -1), CLASSES, axis=1)
    return x, np.stack([part.mean(1) for part in thirds], 1).argmax(1).astype(np.int64)


def trained(model: Any, data: tuple[Array, Array], epochs: int = 2) -> Any:
    """The model after a little training, so that no kernel is plain noise."""
    keras.utils.set_random_seed(7)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    model.fit(*data, batch_size=32, epochs=epochs, verbose=0)
    return model


def kernels(model: Any) -> dict[str, Array]:
    """Kernels by layer name in the order of the layers, nested ones included, by Keras' own attributes."""
    found = {}
    for layer in model._flatten_layers(include_self=False):
        for attribute in ("kernel", "depthwise_kernel"):
            variable = getattr(layer, attribute, None)
            if variable is not None:
                found[layer.name] = np.asarray(variable)
    return found


def _image(*body: Any, size: int = 8) -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [layers.Input((size, size, 3)), *body, layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, name="out")]
    )


def two_convolutions() -> Any:
    """Two convolutions with biases, the first of which a test prunes and the second not."""
    return _image(
        layers.Conv2D(12, 3, activation="relu", name="first"), layers.Conv2D(16, 3, activation="relu", name="second")
    )


def without_bias() -> Any:
    """A convolution without bias before batch normalization, as nearly all of today's networks have them."""
    return _image(
        layers.Conv2D(12, 3, use_bias=False, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU()
    )


def poor_channel(distinct: int = 3) -> Any:
    """Two of the convolution's channels hold only `distinct` values, as hand-made or already clustered filters do."""
    model = _image(layers.Conv2D(12, 3, activation="relu", name="conv"))
    kernel, bias = model.get_layer("conv").get_weights()
    levels = np.linspace(-0.3, 0.3, distinct, dtype=np.float32)
    picks = np.random.default_rng(5).permutation(np.arange(kernel[..., 0].size) % distinct).reshape(kernel.shape[:3])
    kernel[..., 0], kernel[..., 5] = levels[picks], levels[picks[::-1]]
    model.get_layer("conv").set_weights([kernel, bias])
    return model


def depthwise() -> Any:
    """A depthwise convolution between two ordinary ones."""
    return _image(
        layers.Conv2D(8, 3, activation="relu", name="conv"),
        layers.DepthwiseConv2D(3, name="depthwise"),
        layers.Conv2D(16, 1, activation="relu", name="pointwise"),
    )


def transposed() -> Any:
    """A transposed convolution, as decoders and segmentation networks have them."""
    return _image(
        layers.Conv2D(8, 3, activation="relu", name="conv"),
        layers.Conv2DTranspose(6, 3, strides=2, activation="relu", name="up"),
    )


def one_dimensional() -> Any:
    """Two convolutions over time."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            layers.Input((24, 4)),
            layers.Conv1D(12, 3, activation="relu", name="first"),
            layers.Conv1D(16, 5, activation="relu", name="second"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(CLASSES, name="out"),
        ]
    )


def nested() -> Any:
    """A model within a model, as transfer learning makes them."""
    keras.utils.set_random_seed(3)
    inputs = layers.Input((8, 8, 3))
    inner = keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(12, 3, activation="relu", name="conv")], name="backbone"
    )
    pooled = layers.GlobalAveragePooling2D()(inner(inputs))
    return keras.Model(inputs, layers.Dense(CLASSES, name="out")(pooled), name="outer")


@keras.utils.register_keras_serializable("hard_models")
class Subclassed(keras.Model):
    """A model that is a class with a `call`, not a graph of layers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(12, 3, activation="relu", name="conv")
        self.pool = layers.GlobalAveragePooling2D()
        self.out = layers.Dense(CLASSES, name="out")

    def call(self, inputs: Any) -> Any:
        """Class scores."""
        return self.out(self.pool(self.conv(inputs)))

    def get_config(self) -> dict[str, Any]:
        """Nothing to configure."""
        return {}


def subclassed() -> Any:
    """A subclassed model, built by its first call."""
    keras.utils.set_random_seed(3)
    model = Subclassed()
    model(np.zeros((1, 8, 8, 3), np.float32))
    return model


def keras_3() -> Any:
    """A model of today's Keras."""
    import keras as keras3

    keras3.utils.set_random_seed(3)
    body = keras3.layers
    return keras3.Sequential(
        [
            body.Input((8, 8, 3)),
            body.Conv2D(12, 3, activation="relu", name="conv"),
            body.GlobalAveragePooling2D(),
            body.Dense(CLASSES, name="out"),
        ]
    )

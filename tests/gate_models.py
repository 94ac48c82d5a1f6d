"""A small INT8 model, the same one built anew, and one with another block: `python gate_models.py FOLDER NAME...`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def build(folder: Path, *names: str) -> None:
    """Write `NAME.tflite` for each name in a process of its own: 'net', 'net-SEED', or 'slower'."""
    env = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, __file__, str(folder), *names], env=env, check=True, capture_output=True)


def _build(folder: Path, name: str) -> None:
    import numpy as np
    import tensorflow as tf
    import tf_keras as keras

    layers = keras.layers
    seed = int(name.partition("-")[2] or 1)
    keras.utils.set_random_seed(seed)

    def block(x: object, channels: int, stride: int = 1) -> object:
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", activation="relu")(x)
        return layers.Conv2D(channels, 1, activation="relu")(x)

    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(image)
    x = block(block(x, 32), 64, 2)
    if name == "slower":
        x = block(x, 64)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    random = np.random.default_rng(seed)
    converter.representative_dataset = lambda: ([random.random((1, 32, 32, 3), np.float32)] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / f"{name}.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        _build(Path(sys.argv[1]), wanted)

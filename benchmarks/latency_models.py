"""The .tflite files that published Arm latencies name: MobileNet v1, v2 and EfficientNet-lite, with random weights.

Latency does not depend on the weights' values, so nothing is downloaded and nothing is trained.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# name in the published rows -> (family, width, input size)
MODELS: dict[str, tuple[str, float, int]] = {
    "mobilenet_v1_0.25_128": ("mobilenet_v1", 0.25, 128),
    "mobilenet_v1_0.25_192": ("mobilenet_v1", 0.25, 192),
    "mobilenet_v1_0.5_192": ("mobilenet_v1", 0.5, 192),
    "mobilenet_v1_1.0_224": ("mobilenet_v1", 1.0, 224),
    "mobilenet_v2_1.0_224": ("mobilenet_v2", 1.0, 224),
    "efficientnet-lite0": ("efficientnet_lite", 0, 224),
    "efficientnet-lite4": ("efficientnet_lite", 4, 300),
}
# (width, depth) multipliers of the lite family: tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py
_LITE = {0: (1.0, 1.0), 4: (1.4, 1.8)}
# (repeats, kernel, stride, expansion, filters): EfficientNet-B0, Tan and Le, arXiv 1905.11946, table 1
_BLOCKS = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


def keras_model(name: str) -> Any:
    """The Keras model that `MODELS` calls `name`."""
    import tf_keras

    family, width, size = MODELS[name]
    if family == "mobilenet_v1":
        # 1001 classes, as in the files that were measured
        return tf_keras.applications.MobileNet((size, size, 3), alpha=width, weights=None, classes=1001)
    if family == "mobilenet_v2":
        return tf_keras.applications.MobileNetV2((size, size, 3), alpha=width, weights=None, classes=1001)
    return _efficientnet_lite(int(width), size)


def _efficientnet_lite(level: int, size: int) -> Any:
    """EfficientNet-lite: B0's blocks without squeeze-excite, ReLU6, stem and head and first/last repeats unscaled."""
    import math

    from tf_keras import Input, Model, layers

    width, depth = _LITE[level]

    def scaled(filters: int) -> int:
        rounded = max(8, int(filters * width + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * filters * width else rounded

    def unit(x: Any, layer: Any, activate: bool = True) -> Any:
        x = layers.BatchNormalization()(layer(x))
        return layers.ReLU(6.0)(x) if activate else x

    x = inputs = Input((size, size, 3))
    x = unit(x, layers.Conv2D(32, 3, 2, padding="same", use_bias=False))
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(_BLOCKS):
        count = repeats if stage in (0, len(_BLOCKS) - 1) else math.ceil(repeats * depth)
        for index in range(count):
            source, step = x, stride if index == 0 else 1
            if expansion > 1:
                x = unit(x, layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False))
            x = unit(x, layers.DepthwiseConv2D(kernel, step, padding="same", use_bias=False))
            x = unit(x, layers.Conv2D(scaled(filters), 1, use_bias=False), activate=False)
            if step == 1 and source.shape[-1] == x.shape[-1]:
                x = layers.Add()([source, x])
    x = unit(x, layers.Conv2D(1280, 1, use_bias=False))
    x = layers.Dense(1000)(layers.GlobalAveragePooling2D()(x))
    return Model(inputs, layers.Softmax()(x))


def write(name: str, dtype: str, path: Path) -> None:
    """Convert `name` to a .tflite of `dtype` ('fp32' or 'int8') at `path`."""
    import numpy as np
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    model = keras_model(name)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if dtype == "int8":
        size = model.input_shape[1]
        sample = np.random.default_rng(1).random((1, size, size, 3), dtype=np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[sample]])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_bytes(converter.convert())
    fresh.replace(path)


if __name__ == "__main__":  # in a process of its own: TensorFlow's memory goes back, and it can't disturb the counts
    write(sys.argv[1], sys.argv[2], Path(sys.argv[3]))

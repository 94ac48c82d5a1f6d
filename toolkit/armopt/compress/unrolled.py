"""Lays recurrent layers out as a chain of steps for the converter, which dies of their loops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from armopt.compress.backend import keras
from armopt.core.errors import ConversionError


@contextlib.contextmanager
def unrolled(model: Any) -> Iterator[list[str]]:
    """While open, the model's recurrent layers run without a loop, save for those that become one operator.

    With TensorFlow 2.21 the converter's process ends with signal 11 on the while loop of a calibrated SimpleRNN, GRU or
    RNN of cells. Of an LSTM it makes UNIDIRECTIONAL_SEQUENCE_LSTM, if that computes as cuDNN does and gets no
    mask. Weights stand in the file once, however many steps there are; operators once a step.

    Args:
        model: of any kind; its layers are as they were when the context ends.

    Yields:
        Names of the layers that are unrolled.

    Raises:
        ConversionError: a layer keeps its state from call to call, which the file has no place for.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.RNN) and layer.stateful:
            raise ConversionError(f"'{layer.name}' is stateful, which a .tflite is not", "make it with stateful=False")
    changed = [(layer, getattr(layer, "_could_use_gpu_kernel", None)) for layer in _looping(model)]
    try:
        for layer, fused in changed:
            layer.unroll = True
            if fused is not None:
                layer._could_use_gpu_kernel = False
        yield [layer.name for layer, _ in changed]
    finally:
        for layer, fused in changed:
            layer.unroll = False
            if fused is not None:
                layer._could_use_gpu_kernel = fused


def _looping(model: Any) -> list[Any]:
    layers = list(model._flatten_layers())
    masked = any(isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False) for layer in layers)
    # Convolutional recurrent layers refuse to be unrolled.
    loops = [
        layer
        for layer in layers
        if isinstance(layer, keras.layers.RNN) and not layer.unroll and not type(layer).__name__.startswith("ConvLSTM")
    ]
    fused = [layer for layer in loops if isinstance(layer, keras.layers.LSTM) and layer._could_use_gpu_kernel]
    return [layer for layer in loops if masked or layer not in fused]

"""Rounds a kernel to the INT8 codes that it will have in the file, scale group by scale group."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from armopt.compress.backend import tf
from armopt.compress.constraints import LARGEST_CODE

_FOR_CONVERTER: ContextVar[bool] = ContextVar("kernels go to the converter", default=False)


@contextlib.contextmanager
def kernels_for_the_converter() -> Iterator[None]:
    """Within, fake-quantized layers compute with their kernels as they are: the converter rounds them itself.

    So a fake-quant model gets the scale groups that post-training quantization has, each with the exact range of its
    kernel. TFMOT's fake-quant nodes on kernels give one scale to a whole Dense, depthwise or transposed kernel, and
    the range that the kernel had before its last step.
    """
    token = _FOR_CONVERTER.set(True)
    try:
        yield
    finally:
        _FOR_CONVERTER.reset(token)


def on_grid(kernel: Any, axes: tuple[int, ...]) -> Any:
    """The kernel rounded to INT8 codes times its scales; gradients pass as if it had not been rounded.

    Args:
        kernel: tensor.
        axes: along which weights share a scale, max|w| / 127.
    """
    if _FOR_CONVERTER.get():
        return kernel
    largest = tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True)
    scale = tf.stop_gradient(tf.where(largest > 0, largest, tf.ones_like(largest)) / LARGEST_CODE)
    return kernel + tf.stop_gradient(tf.round(kernel / scale) * scale - kernel)

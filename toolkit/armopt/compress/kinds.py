"""What sorts of kernels there are. A file of its own, so that reading a .tflite need not bring TensorFlow in."""

from __future__ import annotations

from typing import Literal

Kind = Literal["conv", "conv_transpose", "depthwise", "dense", "embedding", "recurrent", "einsum", "other"]

"""The child process of `export`: one conversion per line of JSON on stdin, one line of JSON back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.backend import tf
from armopt.compress.packing import packed


def main() -> None:
    """Answer jobs until stdin ends. TensorFlow prints to stdout too, so the answers keep the real one to themselves."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        return _convert(job)
    except OSError as error:
        return {"disk": error.strerror or str(error)}
    except Exception as error:  # the converter raises its own and everybody else's types
        return {"error": _reason(error)}


def _convert(job: dict[str, Any]) -> dict[str, Any]:
    notes: list[str] = []
    if job["numbers"] in ("dynamic", "float16", "float32", "sparse"):
        Path(job["out"]).write_bytes(packed(_float_converter(job).convert()))
        return {"notes": notes}
    try:
        content = _converter(job, integers_only=True).convert()
    except Exception as error:
        strict = _reason(error)
        try:
            content = _converter(job, integers_only=False).convert()
        except Exception:
            raise error from None
        notes.append(f"some operators stay float: {strict}")
    Path(job["out"]).write_bytes(packed(content))
    return {"notes": notes}


def _float_converter(job: dict[str, Any]) -> Any:
    """Float activations: nothing is calibrated, and inputs and outputs are float32."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(job["folder"], "model")))
    if job["numbers"] == "sparse":
        # Kernels that are mostly zeros are stored without them, each behind a DENSIFY operator that XNNPACK takes for
        # a hint. Without the default optimization the weights stay float32.
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    elif job["numbers"] != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if job["numbers"] == "float16":
        converter.target_spec.supported_types = [tf.float16]
        # Leave to compute in float16 on cores that can; others widen the weights when they load the file. Source:
        # blog.tensorflow.org, "Half-precision Inference Doubles On-Device Inference Performance", 2023-11.
        converter.target_spec._experimental_supported_accumulation_type = tf.float16
    return converter


# Operators that compute in integers alone, and the type of their activations.
_INTEGERS = {
    "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
    "16x8": (tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
}


def _converter(job: dict[str, Any], integers_only: bool) -> Any:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(job["folder"], "model")))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    integers, activations = _INTEGERS[job["numbers"]]
    converter.representative_dataset = lambda: _samples(Path(job["folder"], "calibration.npz"), job["batch"])
    operators = [integers]
    if not integers_only:
        operators.append(tf.lite.OpsSet.TFLITE_BUILTINS)
    converter.target_spec.supported_ops = operators
    if integers_only and not job["float_io"]:
        converter.inference_input_type = converter.inference_output_type = activations
    return converter


def _samples(path: Path, batch: int) -> Iterator[dict[str, Any]]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for start in range(0, len(next(iter(arrays.values()))), batch):
        yield {name: array[start : start + batch] for name, array in arrays.items()}


def _reason(error: Exception) -> str:
    """The sentence that tells most; MLIR errors carry pages of locations around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for word in ("error:", "not supported", "is neither", "ops:"):
        for line in lines:
            if word in line:
                return line.split("error:")[-1].strip()[:300]
    return lines[0][:300] if lines else type(error).__name__


if __name__ == "__main__":
    main()

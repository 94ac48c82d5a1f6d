"""Runs a .tflite on this machine with LiteRT: real values in, real values out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.data import Array
from armopt.compress.quiet import quiet_stderr
from armopt.core.errors import ModelError


class HostInterpreter:
    """A .tflite with its tensors allocated, inputs and outputs in the order of the Keras model's.

    Args:
        path: the .tflite.
        threads: of the interpreter; default all cores.

    Raises:
        ModelError: not a .tflite, or one that this runtime can't run.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            # The first one announces its CPU delegate on stderr.
            with quiet_stderr():
                self._interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"'{path}' can't be run: {str(error).splitlines()[0][:160]}", "export it again") from error
        self.inputs = _in_order(self._interpreter, "inputs", self._interpreter.get_input_details())
        self.outputs = _in_order(self._interpreter, "outputs", self._interpreter.get_output_details())

    @property
    def batch(self) -> int:
        """Samples per inference."""
        return int(self.inputs[0]["shape"][0])

    def typed(self, x: tuple[Array, ...]) -> tuple[Array, ...]:
        """Samples in the file's own input types: quantized where the file is."""
        return tuple(quantize(array, detail) for array, detail in zip(x, self.inputs, strict=True))

    def positions(self) -> list[int]:
        """For each input of the runtime's own order, which of the model's inputs it is."""
        order = [detail["index"] for detail in self.inputs]
        return [order.index(detail["index"]) for detail in self._interpreter.get_input_details()]

    def output_positions(self) -> list[int]:
        """For each of the model's outputs, where the runtime's own order has it."""
        order = [detail["index"] for detail in self._interpreter.get_output_details()]
        return [order.index(detail["index"]) for detail in self.outputs]

    def run(self, x: tuple[Array, ...], on_batch: Callable[[int], None] | None = None) -> tuple[Array, ...]:
        """Outputs as real values, one array per output.

        Args:
            x: samples, one array per input, real values.
            on_batch: called with the number of samples done.
        """
        typed, count, batch = self.typed(x), len(x[0]), self.batch
        collected: list[list[Array]] = [[] for _ in self.outputs]
        for start in range(0, count, batch):
            rows = min(batch, count - start)
            for array, detail in zip(typed, self.inputs, strict=True):
                part = array[start : start + batch]
                if rows < batch:
                    part = np.concatenate([part, np.repeat(part[-1:], batch - rows, axis=0)])
                self._interpreter.set_tensor(detail["index"], part)
            self._interpreter.invoke()
            for bucket, detail in zip(collected, self.outputs, strict=True):
                bucket.append(dequantize(self._interpreter.get_tensor(detail["index"]), detail)[:rows])
            if on_batch is not None:
                on_batch(start + rows)
        return tuple(np.concatenate(bucket) for bucket in collected)


def quantize(values: Array, detail: dict[str, Any]) -> Array:
    """Real values as codes of a quantized tensor: q = round(x / scale) + zero point, clipped to the type's range."""
    dtype, (scale, zero_point) = detail["dtype"], detail["quantization"]
    if not scale or not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    codes: Array = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return codes


def dequantize(codes: Array, detail: dict[str, Any]) -> Array:
    """Codes of a quantized tensor as real values: x = scale * (q - zero point)."""
    scale, zero_point = detail["quantization"]
    if not scale or not np.issubdtype(codes.dtype, np.integer):
        return codes
    values: Array = np.float32(scale) * (codes.astype(np.int32) - zero_point).astype(np.float32)
    return values


def _in_order(interpreter: Any, side: str, details: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tensors by the names of armopt's export signature, whose order is the model's; any other file as it is."""
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1 or len(details) == 1:
        return details
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    named = runner.get_input_details() if side == "inputs" else runner.get_output_details()
    if len(named) != len(details):
        return details
    return [named[name] for name in sorted(named)]

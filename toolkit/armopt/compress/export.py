"""Keras -> .tflite, in a child process: a converter that crashes must not take the run with it."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.backend import tf
from armopt.compress.data import Split
from armopt.compress.int8_grid import kernels_for_the_converter
from armopt.compress.models import fixed_batch
from armopt.compress.tflite_file import float_operators, read_weights
from armopt.compress.unrolled import unrolled
from armopt.core.errors import ConversionError, StoreError
from armopt.core.stages import NumberFormat

# A conversion of the largest mobile models takes a minute; ten are a hang.
_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Exported:
    """A written .tflite and what had to be done differently from what was asked, in sentences."""

    path: Path
    notes: tuple[str, ...]


def export_tflite(
    model: Any, calibration: Split, path: Path, float_io: bool = False, numbers: NumberFormat = "int8"
) -> Exported:
    """Write a .tflite, by default full-integer INT8: int8 weights per channel, int8 activations, inputs and outputs.

    Inputs and outputs have the type of the activations: int8, int16 (`16x8`), or float32 (all others).
    Operators that the converter can't quantize stay float and are noted. The batch is 1 unless the model fixes one.

    Args:
        model: tf-keras model, fake-quant models included.
        calibration: samples that set the activation ranges; from the training split.
        path: where to write.
        float_io: float32 inputs and outputs instead of integers.
        numbers: what the file computes with.

    Raises:
        ConversionError: the converter refused the model or died.
        StoreError: no room for the files.
    """
    integer_inputs = [tensor.name for tensor in model.inputs if not tensor.dtype.is_floating]
    job = {"float_io": float_io or bool(integer_inputs), "out": str(path), "numbers": numbers}
    try:
        with tempfile.TemporaryDirectory(prefix="armopt-export-") as folder:
            with unrolled(model) as chains:
                names = _save_for_serving(model, Path(folder, "model"))
            batch = fixed_batch(model) or 1
            rows = len(calibration) // batch * batch
            samples: dict[str, Any] = {name: x[:rows] for name, x in zip(names, calibration.x, strict=True)}
            np.savez(Path(folder, "calibration.npz"), **samples)
            reply = _converter().convert({**job, "folder": folder, "batch": batch})
    except (OSError, tf.errors.OpError) as error:
        reply = {"disk": str(error).splitlines()[0][:160]}
    if "disk" in reply:
        raise StoreError(
            f"'{model.name}' can't be written: {reply['disk']}", "make room (also in TMPDIR) and run again"
        )
    if "error" in reply:
        raise ConversionError(
            f"the converter refused '{model.name}': {reply['error']}", "see docs/layers.md for what converts"
        )
    notes = tuple(reply["notes"])
    integers = numbers in ("int8", "16x8")
    # The converter leaves some operators float without a word, even where only integers were allowed.
    floats = float_operators(path) if integers else ()
    if floats and not notes:
        notes = (f"some operators stay float: {', '.join(floats)}",)
    if numbers == "dynamic":
        notes = (*notes, *_small_kernels(path))
    if chains:
        notes = (*notes, f"unrolled, since the converter dies of their loops: {', '.join(chains)}")
    if integers and integer_inputs and not float_io:
        notes = (*notes, f"inputs {', '.join(integer_inputs)} are integers: inputs and outputs keep their types")
    return Exported(path, notes)


def _small_kernels(path: Path) -> tuple[str, ...]:
    """The converter's own rule, said where it left a kernel as it was."""
    tensors = read_weights(path)
    floats = sum(tensor.codes.dtype == np.float32 for tensor in tensors)
    words = f"{floats} of {len(tensors)} weight tensors stay float32: dynamic range is for 1,024 weights and more"
    return (words,) if floats else ()


def _save_for_serving(model: Any, folder: Path) -> list[str]:
    """Save the model's inference function alone; returns its argument names, sorted as the signature sorts them."""
    batch = fixed_batch(model) or 1
    many = len(model.inputs) > 1
    names = [f"in{i:02d}_{_plain(t.name)}" if many else _plain(t.name) for i, t in enumerate(model.inputs)]
    specs = {
        name: tf.TensorSpec(
            [batch, *(size if size is not None else 1 for size in tensor.shape[1:])], tensor.dtype, name
        )
        for name, tensor in zip(names, model.inputs, strict=True)
    }

    def serve(**inputs: Any) -> dict[str, Any]:
        values = [inputs[name] for name in names]
        outputs = tf.nest.flatten(model(values if many else values[0], training=False))
        return {f"out{i:02d}": output for i, output in enumerate(outputs)}

    function = tf.function(serve)
    module = tf.Module()
    module.held = model.variables
    with kernels_for_the_converter():
        concrete = function.get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), signatures=concrete)
    return names


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.split(":")[0]).strip("_") or "input"


class _Converter:
    """The child process. It stays, as importing TensorFlow takes longer than converting; a dead one is replaced."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._log: Any = None

    def convert(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do one job; a crash is an answer with `error`."""
        process = self._alive()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            with _Watchdog(process, _TIMEOUT_S):
                line = process.stdout.readline()
        except (BrokenPipeError, OSError):
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = process.wait()
        self.close()
        died = f"was stopped by signal {-code}" if code < 0 else f"ended with code {code}"
        return {"error": f"the converter's process {died}"}

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            # The child's chatter goes to a file: a full pipe that nobody reads would stop it.
            self._log = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                [sys.executable, "-m", "armopt.compress.convert_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                # Ctrl-C reaches the whole foreground group; the parent decides what becomes of the child.
                start_new_session=True,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        return self._process

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._log.close()
            self._process = None


class _Watchdog:
    """Kills a process that takes longer than it may; its pipe then reads empty."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        import threading

        self._timer = threading.Timer(seconds, process.kill)

    def __enter__(self) -> None:
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()


_CONVERTER = _Converter()
atexit.register(_CONVERTER.close)


def _converter() -> _Converter:
    return _CONVERTER

"""The OUT folder: the chosen model, the result, and a script that runs the model on the board, or a C header of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from string import Template

from pydantic import ValidationError

from armopt.compress.data import PREPROCESS
from armopt.core.errors import StoreError, UsageError
from armopt.core.records import Measurement, Result
from armopt.core.version import VERSION
from armopt.runners.ethosu.header import header

_SCRIPT = Template('''"""Runs model.tflite on this board: python3 run_model.py input.npy [input2.npy ...]

Needs numpy and ai-edge-litert (or tflite-runtime). Each .npy holds one sample or a batch of samples as the model was
trained on them ($preprocess_words). Prints the outputs as real values, one line a sample.
"""

import pathlib
import sys

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter

SCALE, OFFSET = $scale, $offset

model = Interpreter(str(pathlib.Path(__file__).with_name("model.tflite")), num_threads=$threads)
model.allocate_tensors()
inputs = sorted(model.get_input_details(), key=lambda detail: detail["name"])
if len(sys.argv) - 1 != len(inputs):
    names = [detail["name"].split(":")[0].replace("serving_default_", "") + ".npy" for detail in inputs]
    sys.exit("usage: python3 run_model.py " + " ".join(names))
arrays = []
for detail, path in zip(inputs, sys.argv[1:]):
    array = np.load(path, allow_pickle=False)
    shape = list(detail["shape"])
    arrays.append(array.reshape([-1, *shape]))
for sample in range(len(arrays[0])):
    for detail, array in zip(inputs, arrays):
        scale, zero_point = detail["quantization"]
        value = array[sample]
        if not np.issubdtype(detail["dtype"], np.integer) or scale:
            value = value * SCALE + OFFSET
        if scale:
            limits = np.iinfo(detail["dtype"])
            value = np.clip(np.round(value / scale) + zero_point, limits.min, limits.max)
        model.set_tensor(detail["index"], value.astype(detail["dtype"]))
    model.invoke()
    for detail in sorted(model.get_output_details(), key=lambda detail: detail["name"]):
        value, (scale, zero_point) = model.get_tensor(detail["index"]), detail["quantization"]
        real = (value.astype(np.float32) - zero_point) * scale if scale else value
        print(np.array2string(real, max_line_width=10**6))
''')


# Beside model.tflite: a script for boards, or for the firmware around an Ethos-U the compiled model and its C header.
SCRIPT, COMPILED, HEADER = "run_model.py", "model_vela.tflite", "model.h"


def deliver(result: Result, artifact: Path | None, out: Path, preprocess: str, threads: int) -> None:
    """Write `result.json` and, where a node was chosen, `model.tflite` and `run_model.py`; each at once or not at all.

    A model for an NPU has no script: `deliver_firmware` writes what its firmware needs.

    Raises:
        StoreError: the folder can't be written.
    """
    scale, offset, words = PREPROCESS[preprocess]
    try:
        out.mkdir(parents=True, exist_ok=True)
        # An earlier run's model must not stand beside a verdict that did not choose it.
        for stale in ("model.tflite", SCRIPT, COMPILED, HEADER):
            (out / stale).unlink(missing_ok=True)
        if artifact is not None:
            _atomically(out / "model.tflite", artifact.read_bytes())
        if artifact is not None and result.runner != "vela":
            script = _SCRIPT.substitute(scale=repr(scale), offset=repr(offset), preprocess_words=words, threads=threads)
            _atomically(out / SCRIPT, script.encode())
    except OSError as error:
        raise StoreError(
            f"'{out}' can't be written: {error.strerror or error}", "make room, or name another --out"
        ) from error
    write_result(result, out)


def write_result(result: Result, out: Path) -> None:
    """Write `result.json`, over an earlier one at once.

    Raises:
        StoreError: the folder can't be written.
    """
    try:
        _atomically(out / "result.json", (result.model_dump_json(by_alias=True, indent=2) + "\n").encode())
    except OSError as error:
        raise StoreError(
            f"'{out}' can't be written: {error.strerror or error}", "make room, or name another --out"
        ) from error


def deliver_firmware(out: Path, compiled: bytes, estimated: Measurement) -> None:
    """Write the compiled model, and the same as a C header with what memory it needs.

    Raises:
        StoreError: the folder can't be written.
    """
    npu = estimated.npu
    assert npu is not None
    told = f"Made by armopt {VERSION} with {estimated.runtime} for {npu.accelerator}."
    # Where activations lie in DRAM, the SRAM is the NPU's own.
    cache = npu.sram_bytes if npu.dram_bytes is not None else 0
    try:
        _atomically(out / COMPILED, compiled)
        _atomically(out / HEADER, header(compiled, npu.arena_bytes, cache, told).encode())
    except OSError as error:
        raise StoreError(
            f"'{out}' can't be written: {error.strerror or error}", "make room, or name another --out"
        ) from error


def read_result(path: Path) -> Result:
    """The result of an earlier run, from its folder or its `result.json`.

    Raises:
        UsageError: there is none, or it is not one that this version can read.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        return Result.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UsageError(
            f"no result at '{path}': {error.strerror or error}", "name a run's --out folder or its result.json"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise UsageError(
            f"'{file}' is not a result of armopt {VERSION}: {where}: {first['msg']}", "run armopt deploy again"
        ) from error


def _atomically(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_writable(out: Path) -> None:
    """Find out before an hour of training that the results can't be written.

    Raises:
        StoreError: not writable, or nearly full (under 50 MB).
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
        free = shutil.disk_usage(out).free
    except OSError as error:
        raise StoreError(f"'{out}' can't be written: {error.strerror or error}", "name another --out") from error
    if free < 50e6:
        raise StoreError(f"only {free / 1e6:.0f} MB are free at '{out}'", "make room, or name another --out")

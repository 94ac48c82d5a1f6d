"""One artifact on one device -> a Measurement. The only place where runners and latency meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armopt.core.device import BoardKind
from armopt.core.errors import UsageError
from armopt.core.records import Latency, Measurement
from armopt.latency.model import predict
from armopt.runners.base import Arrays, Job, RunResult, Say, make_runner
from armopt.runners.comparison import compare
from armopt.runners.local import LocalRunner

# Raised whenever counting or the latency model would give another figure for the same file on the same board kind.
REVISION = 3

_RANDOM_SAMPLES = 4


def measure(
    artifact: Path,
    device: BoardKind,
    *,
    samples: Sequence[NDArray[Any]] | None = None,
    expected: Sequence[NDArray[Any]] | None = None,
    threads: int | None = None,
    freq_mhz: int | None = None,
    say: Say = lambda text: None,
    offline: bool = False,
) -> tuple[Measurement, Arrays]:
    """Run `artifact` on `device` (emulated) and say how long one inference takes there and how well that is known.

    Args:
        artifact: any .tflite file, whoever made it. Dynamic dimensions are set to 1.
        device: the kind of board.
        samples: one array per model input, in the model's order, of the tensor's own type (already quantised), first
            axis the samples. None: a few random ones with a fixed seed.
        expected: the outputs of the host's interpreter for the samples, as this function returns them; None: they are
            computed here, one thread.
        threads: threads of the runtime; None: the board kind's own number. Counting uses one.
        freq_mhz: CPU clock, the board kind's own if None.
        say: gets progress, one line at a time.
        offline: never fetch anything; DeviceError if something is missing.

    Returns:
        The measurement, and the device's outputs: one array per model output, first axis the samples.

    Raises:
        ModelError: the file is no model that the runtime can load and run.
        UsageError: the samples do not fit the model.
        DeviceError: the emulator or a program it needs is missing or failed.
    """
    began = time.monotonic()
    threads = threads or device.runtime.threads
    with closing(LocalRunner(say)) as host:
        inputs = _inputs(host.describe(artifact), samples, artifact)
        if expected is None:
            [on_host] = host.run([Job(artifact, inputs)])
            expected = on_host.outputs
    with closing(make_runner("qemu", device, say=say, offline=offline)) as runner:
        runner.prepare()
        say(f"emulated {device.name}: running {len(inputs[0])} samples of {artifact.name}")
        [result] = runner.run([Job(artifact, inputs, threads=1, count=True)])
        modelled = _modelled(result, device, threads, freq_mhz)
    equal, difference = compare(result.outputs, expected, result.steps)
    measurement = Measurement(
        device=device.name,
        runner=runner.name,
        evidence=runner.evidence,
        runtime=result.environment["runtime"],
        threads=threads,
        freq_mhz=freq_mhz or device.cpu.freq_mhz,
        outputs_compared=len(inputs[0]),
        outputs_equal=equal,
        output_difference=difference,
        environment=result.environment,
        seconds=time.monotonic() - began,
        **modelled,
    )
    return measurement, result.outputs


def _modelled(result: RunResult, device: BoardKind, threads: int, freq_mhz: int | None) -> dict[str, Any]:
    assert result.counts is not None
    prediction = predict(result.counts, device, threads=threads, freq_mhz=freq_mhz)
    return {
        "latency_ms": Latency(p50=prediction.p50_ms),
        "interval_ms": prediction.interval_ms,
        "interval_source": prediction.interval_source,
        "instructions": result.counts.instructions,
        "instruction_classes": result.counts.by_class(),
        "cycles": prediction.cycles,
    }


def _inputs(tensors: list[dict[str, Any]], samples: Sequence[NDArray[Any]] | None, artifact: Path) -> Arrays:
    if samples is None:
        return random_inputs(tensors)
    arrays = tuple(np.asarray(array) for array in samples)
    if not arrays or min(array.shape[0] if array.ndim else 0 for array in arrays) == 0:
        raise UsageError(f"{artifact}: no samples were given", "give one array per input with at least one sample")
    return arrays


def random_inputs(tensors: list[dict[str, Any]], count: int = _RANDOM_SAMPLES) -> Arrays:
    """Deterministic samples for inputs that `LocalRunner.describe` lists: (count, *shape) each.

    8- and 16-bit integers take their whole range, floats 0 to 1, booleans both values. Wider integers are zero: they
    are indices more often than not, and an index out of range is an error in some models.

    Raises:
        UsageError: an input of another type (text, resources).
    """
    generator = np.random.default_rng(1)
    arrays: list[NDArray[np.generic]] = []
    makers: dict[str, Callable[[tuple[int, ...]], NDArray[Any]]] = {
        "f": lambda shape: generator.random(shape, dtype=np.float32),
        "b": lambda shape: generator.integers(0, 2, shape),
    }
    for tensor in tensors:
        dtype, shape = np.dtype(tensor["dtype"]), (count, *tensor["shape"])
        if dtype.kind in "iu" and dtype.itemsize <= 2:
            limits = np.iinfo(dtype)
            arrays.append(generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True))
        elif dtype.kind in "iu":
            arrays.append(np.zeros(shape, dtype))
        elif dtype.kind in makers:
            arrays.append(makers[dtype.kind](shape).astype(dtype))
        else:
            raise UsageError(f"input {tensor['name']!r} has type {tensor['dtype']}", "give samples for this model")
    if not arrays:
        raise UsageError("the model has no inputs", "give a model that takes an input")
    return tuple(arrays)

"""What a model is fed with where it runs, and what this machine's interpreter makes of the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armopt.core.errors import UsageError
from armopt.runners.base import Arrays, Job, Say
from armopt.runners.local import LocalRunner

RANDOM_SAMPLES = 4


def on_this_machine(
    artifact: Path, samples: Sequence[NDArray[Any]] | None, expected: Sequence[NDArray[Any]] | None, say: Say
) -> tuple[Arrays, Sequence[NDArray[Any]]]:
    """Samples for a model, and this machine's outputs for them.

    Args:
        artifact: the .tflite file.
        samples: one array per input, first axis the samples; None: a few random ones with a fixed seed.
        expected: the outputs where they are known; None: they are computed here, one thread.
        say: gets progress.

    Raises:
        ModelError: the file is no model that the runtime can load and run.
        UsageError: the samples do not fit the model, or there are none.
    """
    with closing(LocalRunner(say)) as host:
        inputs = _inputs(host.describe(artifact), samples, artifact)
        if expected is None:
            [on_host] = host.run([Job(artifact, inputs)])
            expected = on_host.outputs
    return inputs, expected


def _inputs(tensors: list[dict[str, Any]], samples: Sequence[NDArray[Any]] | None, artifact: Path) -> Arrays:
    if samples is None:
        return random_inputs(tensors)
    arrays = tuple(np.asarray(array) for array in samples)
    if not arrays or min(array.shape[0] if array.ndim else 0 for array in arrays) == 0:
        raise UsageError(f"{artifact}: no samples were given", "give one array per input with at least one sample")
    return arrays


def random_inputs(tensors: list[dict[str, Any]], count: int = RANDOM_SAMPLES) -> Arrays:
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

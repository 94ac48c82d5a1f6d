"""One artifact on one device -> a Measurement. The only place where runners and latency meet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from armopt.compress.graph_file import read_operators
from armopt.core.counts import Counts
from armopt.core.device import BoardKind
from armopt.core.graph import GraphOperator
from armopt.core.records import Latency, Measurement
from armopt.latency.features import features_of
from armopt.latency.model import Prediction, predict_from
from armopt.latency.operators import operator_times
from armopt.latency.uncalibrated import sparse_instructions, why_uncalibrated
from armopt.runners.base import Arrays, Job, Say, make_runner
from armopt.runners.comparison import compare
from armopt.runners.samples import on_this_machine

# Raised whenever counting or the latency model would give another figure for the same file on the same board kind.
REVISION = 4


def measure(
    artifact: Path,
    device: BoardKind,
    *,
    samples: Sequence[NDArray[Any]] | None = None,
    expected: Sequence[NDArray[Any]] | None = None,
    threads: int | None = None,
    freq_mhz: int | None = None,
    by_operator: bool = False,
    say: Say = lambda text: None,
    offline: bool = False,
) -> tuple[Measurement, Arrays]:
    """Run `artifact` on `device` (emulated) and say how long one inference takes there and how well that is known.

    Args:
        artifact: any .tflite file, whoever made it. Dynamic dimensions are set to 1.
        device: the kind of board; `device.running(...)` is the same with another runtime.
        samples: one array per model input, in the model's order, of the tensor's own type (already quantised), first
            axis the samples. None: a few random ones with a fixed seed.
        expected: the outputs of the host's interpreter for the samples, as this function returns them; None: they are
            computed here, one thread.
        threads: threads of the runtime; None: the board kind's own number. Counting uses one.
        freq_mhz: CPU clock, the board kind's own if None.
        by_operator: tell the time of each operator of the graph, too.
        say: gets progress, one line at a time.
        offline: never fetch anything; DeviceError if something is missing.

    Returns:
        The measurement, and the device's outputs: one array per model output, first axis the samples.

    Raises:
        ModelError: the file is no model that the runtime can load and run.
        UsageError: the samples do not fit the model.
        DeviceError: the emulator or a program it needs is missing or failed.
    """
    [measurement], outputs = measure_each(
        artifact,
        device,
        [threads or device.runtime.threads],
        samples=samples,
        expected=expected,
        freq_mhz=freq_mhz,
        by_operator=by_operator,
        say=say,
        offline=offline,
    )
    return measurement, outputs


def measure_each(
    artifact: Path,
    device: BoardKind,
    threads: Sequence[int],
    *,
    samples: Sequence[NDArray[Any]] | None = None,
    expected: Sequence[NDArray[Any]] | None = None,
    freq_mhz: int | None = None,
    by_operator: bool = False,
    say: Say = lambda text: None,
    offline: bool = False,
) -> tuple[list[Measurement], Arrays]:
    """Like `measure`, for several numbers of threads: the model runs once, and its counts are modelled for each."""
    began = time.monotonic()
    inputs, expected = on_this_machine(artifact, samples, expected, say)
    with closing(make_runner("qemu", device, say=say, offline=offline)) as runner:
        runner.prepare()
        say(f"emulated {device.name}: running {len(inputs[0])} samples of {artifact.name}")
        delegate = device.runtime.kernels == "xnnpack"
        [result] = runner.run([Job(artifact, inputs, threads=1, count=True, delegate=delegate)])
    assert result.counts is not None
    equal, difference = compare(result.outputs, expected, result.steps)
    observed: dict[str, Any] = {
        "device": device.name,
        "runner": runner.name,
        "evidence": runner.evidence,
        "runtime": result.environment["runtime"],
        "freq_mhz": freq_mhz or device.cpu.freq_mhz,
        "outputs_compared": len(inputs[0]),
        "outputs_equal": equal,
        "output_difference": difference,
        "environment": result.environment,
    }
    features, graph = features_of(result.counts, device), read_operators(artifact) if by_operator else None
    measurements = []
    for number in threads:
        prediction = predict_from(features, device, threads=number, freq_mhz=freq_mhz)
        modelled = _modelled(result.counts, device, prediction, graph)
        measurements.append(Measurement(threads=number, **observed, **modelled, seconds=time.monotonic() - began))
    return measurements, result.outputs


def _modelled(
    counts: Counts, device: BoardKind, prediction: Prediction, graph: Sequence[GraphOperator] | None
) -> dict[str, Any]:
    """What the latency model made of the counts, operator by operator of the file if they are given."""
    operators = operator_times(counts, prediction.parts, graph, device) if graph is not None else None
    unknown = why_uncalibrated(counts)
    return {
        "latency_ms": Latency(p50=prediction.p50_ms),
        "interval_ms": None if unknown else prediction.interval_ms,
        "interval_source": unknown or prediction.interval_source,
        "instructions": counts.instructions,
        "sparse_instructions": sparse_instructions(counts),
        "instruction_classes": counts.by_class(),
        "cycles": prediction.cycles,
        "operators": operators,
    }

"""One artifact on a real board -> a Measurement: outputs compared, then timed until it is decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from numpy.typing import NDArray

from armopt.core.quantiles import summarise
from armopt.core.records import Measurement, SustainedPoint
from armopt.core.rounds import Round, Slice
from armopt.core.stability import Conditions
from armopt.core.stopping import Claim, Decision, decide
from armopt.runners.base import Arrays, Job, RunResult, Say
from armopt.runners.comparison import compare
from armopt.runners.samples import on_this_machine
from armopt.runners.ssh.board_run import Ran, Timing
from armopt.runners.ssh.runner import BoardRunner

COOL_BELOW_C = 65.0  # a Raspberry Pi throttles at 80


def measure_on_board(
    runner: BoardRunner,
    artifact: Path,
    claim: Claim,
    *,
    samples: Sequence[NDArray[Any]] | None = None,
    expected: Sequence[NDArray[Any]] | None = None,
    threads: int | None = None,
    cpus: tuple[int, ...] | None = None,
    sustain_s: float | None = None,
    say: Say = lambda text: None,
) -> tuple[Measurement, Arrays]:
    """Run `artifact` on a board, compare its outputs with this machine's, and time it until the claim is decided.

    Args:
        runner: of the board.
        artifact: any .tflite file. Dynamic dimensions are set to 1.
        claim: what is to be decided, and after how many rounds at most.
        samples: one array per model input, of the tensor's own type, first axis the samples; None: a few random ones.
        expected: the outputs of this machine's interpreter; None: they are computed here.
        threads: of the runtime; None: the board kind's own number.
        cpus: the board's processors to run on; None leaves that to its kernel.
        sustain_s: let one process work so long without a pause, and judge the second half of that.
        say: gets progress.

    Returns:
        The measurement (without a latency where the board's timings mean nothing), and the board's outputs.

    Raises:
        DeviceError: the board failed; LostConnection where what was measured is kept for the next try.
        ModelError: the file is no model that the runtime can load and run.
        UsageError: the samples do not fit the model.
    """
    began = time.monotonic()
    inputs, expected = on_this_machine(artifact, samples, expected, say)
    number = threads or runner.kind.runtime.threads
    job = Job(artifact, inputs, threads=number, delegate=runner.kind.runtime.kernels == "xnnpack")
    if runner.evidence == "functional":
        [result] = runner.run([job])
        clock, timed = None, dict[str, Any]()
    else:
        cool = None if sustain_s is not None else COOL_BELOW_C
        timing = Timing(claim.max_rounds, cpus=cpus, cool_below_c=cool, sustain_s=sustain_s)
        ran = runner.time(job, timing, decided(claim))
        [result] = ran.results
        timed = sustained(ran.slices, claim) if ran.slices else _timed(ran.rounds, claim)
        clock = _clock(ran)
    equal, difference = compare(result.outputs, expected, result.steps)
    measurement = Measurement(
        device=runner.kind.name,
        host=runner.host.name,
        runner=runner.name,
        evidence=runner.evidence,
        runtime=result.environment["runtime"],
        threads=number,
        freq_mhz=clock or runner.kind.cpu.freq_mhz,
        outputs_compared=len(inputs[0]),
        outputs_equal=equal,
        output_difference=difference,
        environment=_environment(runner, result),
        seconds=time.monotonic() - began,
        **timed,
    )
    return measurement, result.outputs


def decided(claim: Claim) -> Callable[[Sequence[Round]], bool]:
    """Whether rounds decide a claim."""

    def enough(rounds: Sequence[Round]) -> bool:
        return len(rounds) >= claim.least_rounds and _decision(rounds, claim).finished

    return enough


def _decision(rounds: Sequence[Round], claim: Claim) -> Decision:
    # The clock while it worked: before, a governor may have let it idle.
    clocks = tuple(one.mhz[1] for one in rounds if one.mhz[1])
    conditions = Conditions(throttled=any(one.throttled for one in rounds), clocks_mhz=clocks)
    return decide([one.raw_ms for one in rounds], claim, conditions)


def _timed(rounds: Sequence[Round], claim: Claim) -> dict[str, Any]:
    decision = _decision(rounds, claim)
    peaks = [one.peak_memory_kib for one in rounds if one.peak_memory_kib]
    loads = [one.load_ms for one in rounds if one.load_ms is not None]
    return {
        "latency_ms": summarise([one.raw_ms for one in rounds]),
        "interval_ms": decision.interval_ms,
        "interval_source": decision.reason,
        "percentile": claim.percentile,
        "rounds": tuple(one.raw_ms for one in rounds),
        "stable": decision.stable,
        "unstable_reason": decision.reason if decision.stable is False else None,
        "load_ms": median(loads) if loads else None,
        "peak_memory_kib": max(peaks, default=None),
        "temperature_c": (rounds[0].temperature_c[0], rounds[-1].temperature_c[1]),
        "round_temperature_c": tuple(one.temperature_c[1] for one in rounds),
        "round_mhz": tuple(one.mhz[1] for one in rounds),
        "throttled": None if all(one.throttled is None for one in rounds) else any(one.throttled for one in rounds),
    }


def sustained(slices: Sequence[Slice], claim: Claim) -> dict[str, Any]:
    """What sustained work comes to: its curve, and the second half of it held against the claim.

    Throttling is no flaw of this measurement but what it is for; a half that still drifts is unstable all the same.
    """
    late = [one.raw_ms for one in slices[len(slices) // 2 :]]
    decision = decide(late, claim.model_copy(update={"max_rounds": len(late)}))
    curve = []
    for one in slices:
        latency = summarise([one.raw_ms])
        seen = {"mhz": one.mhz, "temperature_c": one.temperature_c}
        curve.append(
            SustainedPoint(seconds=one.seconds, p50_ms=latency.p50, p95_ms=latency.p95 or 0, runs=one.runs, **seen)
        )
    return {
        "latency_ms": summarise(late),
        "interval_ms": decision.interval_ms,
        "interval_source": f"the second half of {slices[-1].seconds:.0f} s without a pause: {decision.reason}",
        "percentile": claim.percentile,
        "stable": decision.stable,
        "unstable_reason": decision.reason if decision.stable is False else None,
        "sustained": tuple(curve),
        "temperature_c": (slices[0].temperature_c, slices[-1].temperature_c),
        "throttled": None if all(one.throttled is None for one in slices) else any(one.throttled for one in slices),
    }


def _clock(ran: Ran) -> int | None:
    """The clock that it ran with in the end, in MHz; None where the board does not tell."""
    clocks = [one.mhz[1] for one in ran.rounds] + [one.mhz for one in ran.slices]
    known = [clock for clock in clocks if clock]
    return round(known[-1]) if known else None


def _environment(runner: BoardRunner, result: RunResult) -> dict[str, str]:
    facts = runner.facts
    told = {
        "host": runner.host.name,
        "board": facts.board,
        "system": facts.system,
        "kernel": facts.kernel,
        "python": facts.python,
        "libc": f"{facts.libc} {facts.libc_version}",
        "governor": ", ".join(dict.fromkeys(policy.governor for policy in facts.policies if policy.governor)),
        **result.environment,
    }
    return {key: value for key, value in told.items() if value}

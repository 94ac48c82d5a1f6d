"""`armopt measure` on boards: timed until it is decided, scored on labelled samples where there are some."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.cli.output import say
from armopt.core.errors import UsageError

if TYPE_CHECKING:
    from armopt.core.device import RuntimeName
    from armopt.core.records import Measurement
    from armopt.core.target import Target
    from armopt.placing import Place

# What only counts under emulation can tell.
_EMULATED = {"freq_mhz": "--freq", "in_parts": "--by-operator, --compare and --plot", "kernels": "--kernels"}


def measure_on_boards(
    place: Place,
    model: Path,
    target: Target,
    *,
    threads: tuple[int, ...] | None,
    pin: tuple[int, ...] | None,
    runtime: RuntimeName | None,
    sustain: str | None,
    data: str | None,
    metric: str | None,
    preprocess: str,
    least_rounds: int,
    offline: bool,
    **emulated: Any,
) -> list[Measurement]:
    """The measurements, one for each number of threads; the first is held against the target.

    Raises:
        UsageError: an option that boards can't serve, or samples that do not fit.
        DeviceError: no board can be used.
    """
    from armopt.boards import Boards
    from armopt.core.records import Score
    from armopt.core.stopping import Claim
    from armopt.core.target import parse_duration

    for key, option in _EMULATED.items():
        if emulated.get(key):
            raise UsageError(f"{option}: boards do not tell that", "add --emulate")
    sustain_s = None if sustain is None else parse_duration(sustain)
    samples = None
    if data is not None:
        from armopt.labelled import Labelled

        samples = Labelled(model, data, metric, preprocess)
    with closing(Boards(place.hosts, place.kind, say=say, offline=offline, runtime=runtime, here=place.here)) as boards:
        found: list[Measurement] = []
        for number in threads or (place.kind.runtime.threads,):
            limit = None if found else target.max_latency_ms
            claim = Claim(limit_ms=limit, percentile=target.percentile, least_rounds=0 if found else least_rounds)
            one, _ = boards.measure(
                model, claim, samples=None, threads=number, cpus=pin, sustain_s=sustain_s if not found else None
            )
            found.append(one)
        if samples is not None:
            say(f"{', '.join(boards.names)}: {len(samples.arrays[0])} labelled samples")
            score = samples.score(boards.outputs(model, samples.arrays, found[0].threads))
            told = Score(
                metric=samples.metric.name,
                higher_is_better=samples.metric.higher_is_better,
                value=score,
                samples=len(samples.arrays[0]),
            )
            found[0] = found[0].model_copy(update={"score": told})
    return found

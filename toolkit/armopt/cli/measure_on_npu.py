"""`armopt measure` for an Ethos-U: compiled and estimated, not run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.cli.measured import document
from armopt.cli.output import chatter_to_stderr, print_json, print_rich, say
from armopt.core.errors import UsageError

if TYPE_CHECKING:
    from armopt.core.gate import Judgement
    from armopt.core.target import Target
    from armopt.placing import NpuPlace


def measure_on_npu(
    place: NpuPlace, model: Path, target: Target, *, operators: int | None, as_json: bool, fvp: bool, **others: Any
) -> Judgement:
    """Estimate the model, hold it against the target, and print it.

    Args:
        place: the NPU.
        model: any .tflite.
        target: limits.
        operators: how many to list; None: all.
        as_json: print a document.
        fvp: run it on Arm's FVP, too, for the cycles of the NPU.
        others: options that say nothing on an NPU, by name.

    Raises:
        UsageError: such an option was given, or there is no such file.
        DeviceError: Vela is missing or rejects the model.
    """
    from armopt.core.gate import Observed, judge
    from armopt.core.records import Metric

    for name, value in others.items():
        if value is not None:
            raise UsageError(f"--{name} says nothing of {place.kind.name}", "leave it out")
    with chatter_to_stderr():
        from armopt.npu_measuring import estimate, simulate_on_fvp

        if not fvp:
            say(place.why)
        found = simulate_on_fvp(model, place.kind, say=say) if fvp else estimate(model, place.kind).measurement
    judgement = judge(target, Observed.by(found), Metric(name="accuracy"))
    if as_json:
        with chatter_to_stderr():
            made = document(model, [found], judgement, target.model_dump(mode="json"))
        print_json(made)
        return judgement
    from armopt.show.npu import layer_lines, layer_table, npu_lines, npu_table

    shown: list[Any] = [npu_table(found)]
    layers = found.npu_layers or ()
    if operators != 0 and layers:
        shown += ["", layer_table(layers, operators), *layer_lines(layers, operators)]
    print_rich(*shown, *npu_lines(found, judgement))
    return judgement

"""`armopt measure`: one .tflite on one device, held against limits if there are any, and where its time goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.gate_options import ROUNDS, exit_code, gate_options, read_gate, show_comparison
from armopt.cli.measure_gate import report, setting_to_come, subject_of
from armopt.cli.measure_on_npu import check_npu_options, measure_on_npu
from armopt.cli.measured import document, names_of, show
from armopt.cli.output import chatter_to_stderr, check_picture_name, json_option, print_json, save_drawn, say
from armopt.cli.target_options import read_target, speed_options

if TYPE_CHECKING:
    from armopt.core.calibration import Kernels
    from armopt.core.device import RuntimeName
    from armopt.core.records import Measurement

_TOP = 10


class ThreadNumbers(click.ParamType[tuple[int, ...]]):
    """`4`, or `1,2,4`: numbers of 1 to 64."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, each once, in the order given."""
        try:
            numbers = tuple(dict.fromkeys(int(part) for part in str(value).split(",")))
        except ValueError:
            self.fail(f"{value!r} is not a number of threads, nor several with commas between", param, ctx)
        if not all(1 <= number <= 64 for number in numbers):
            self.fail(f"{value!r} is not in the range 1 to 64", param, ctx)
        return numbers


class Processors(click.ParamType[tuple[int, ...]]):
    """`0`, or `2,3`: numbers of processors."""

    name = "processor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, each once."""
        parts = str(value).split(",")
        if not all(part.strip().isdigit() and int(part) < 1024 for part in parts):
            self.fail(f"{value!r} is not a processor's number, nor several with commas between", param, ctx)
        return tuple(dict.fromkeys(int(part) for part in parts))


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", "device_name", metavar="KIND", help="Board kind; see armopt devices.")
@click.option("--host", metavar="NAME[,NAME]", help="Registered boards of one kind; see armopt hosts list.")
@click.option("--emulate", is_flag=True, help="Emulate the board even where a real one is registered.")
@click.option("--vela-ini", type=click.Path(path_type=Path), metavar="FILE", help="The system around an Ethos-U.")
@click.option("--fvp", is_flag=True, help="Count an Ethos-U's cycles on Arm's FVP (see docs/ethos-u.md).")
@click.option("--threads", type=ThreadNumbers(), metavar="N[,N]", help="Of the runtime; default: the board kind's own.")
@click.option("--freq", "freq_mhz", type=click.IntRange(1, 10_000), metavar="MHZ", help="If not the board's.")
@click.option("--runtime", type=click.Choice(["litert", "tflite-runtime"]), help="Default: the board kind's own.")
@click.option("--kernels", type=click.Choice(["xnnpack", "builtin"]), help="XNNPACK's, or the runtime's own (ruy).")
@click.option("--by-operator", is_flag=True, help="Show the ten slowest operators, what limits each, what would help.")
@click.option("--all-operators", is_flag=True, help="The same of all operators.")
@click.option(
    "--compare",
    "other",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show what each kind of operator takes before, in MODEL, and after, in this .tflite.",
)
@click.option("--data", metavar="DATA", help="On boards: score this data's test split there; as for armopt deploy.")
@click.option("--metric", metavar="NAME", help="Of --data; accuracy where its labels are classes.")
@click.option("--preprocess", type=click.Choice(["none", "unit", "signed"]), default="none", help="Of --data's inputs.")
@click.option("--pin", type=Processors(), metavar="CPU[,CPU]", help="On boards: the processors to run on.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 30),
    metavar="N",
    help="On boards: at least so many processes; 30 to compare.",
)
@click.option("--sustain", metavar="TIME", help="On boards: run so long without a pause, such as 10m; see the curve.")
@click.option("--plot", metavar="FILE", help="Draw the operators (or, with --compare, both models) as .svg or .png.")
@speed_options
@gate_options
@click.option("--offline", is_flag=True, help="Never fetch anything.")
@json_option
def command(
    model: Path,
    device_name: str | None,
    host: str | None,
    emulate: bool,
    vela_ini: Path | None,
    fvp: bool,
    threads: tuple[int, ...] | None,
    freq_mhz: int | None,
    runtime: RuntimeName | None,
    kernels: Kernels | None,
    by_operator: bool,
    all_operators: bool,
    other: Path | None,
    data: str | None,
    metric: str | None,
    preprocess: str,
    pin: tuple[int, ...] | None,
    rounds: int | None,
    sustain: str | None,
    plot: str | None,
    offline: bool,
    as_json: bool,
    **limits: Any,
) -> int:
    """Run MODEL (any .tflite) on a device and say how long one inference takes and how well that is known.

    On a board it is timed, in fresh processes, until the limits are decided; without one it is emulated, counted and
    modelled; for an Ethos-U it is compiled, and the compiler estimates. With several numbers of --threads, limits and
    operators are of the first.

    Exit codes: 0 within the limits (or none given) and no worse than the baseline, 1 not, 3 inconclusive, 2 usage,
    4 device.
    """
    from armopt.core.gate import Observed, judge
    from armopt.core.records import Metric
    from armopt.placing import NpuPlace, find_place

    check_picture_name(plot)
    gate = read_gate(limits)
    target, place = read_target(limits), find_place(device_name, host, emulate, vela_ini)
    most = None if all_operators else _TOP if by_operator else 0
    check_npu_options(
        place, fvp, threads=threads, freq=freq_mhz, runtime=runtime, kernels=kernels, compare=other, data=data,
        metric=metric, pin=pin, sustain=sustain, plot=plot,
    )  # fmt: skip
    gate.expect(setting_to_come(place, threads, freq_mhz, runtime, kernels))
    in_parts = by_operator or all_operators or other is not None or plot is not None
    compared = None
    with chatter_to_stderr():
        if place.why:
            say(place.why)
        if isinstance(place, NpuPlace):
            found = [measure_on_npu(place, model, fvp)]
        elif place.hosts:
            from armopt.cli.measure_on_boards import measure_on_boards

            found = measure_on_boards(
                place, model, target, threads=threads, pin=pin, runtime=runtime, sustain=sustain, data=data,
                metric=metric, preprocess=preprocess, offline=offline, freq_mhz=freq_mhz, kernels=kernels,
                in_parts=in_parts, least_rounds=rounds or (ROUNDS if gate.baseline is not None else 0),
            )  # fmt: skip
        else:
            from armopt.measuring import measure_each

            _only_boards({"pin": pin, "rounds": rounds, "sustain": sustain, "data": data})
            in_parts = in_parts or gate.baseline is not None
            kind = place.kind.running(runtime, kernels)
            asked: dict[str, Any] = {"freq_mhz": freq_mhz, "by_operator": in_parts, "say": say, "offline": offline}
            found, _ = measure_each(model, kind, threads or (kind.runtime.threads,), **asked)
            if other is not None:
                compared = measure_each(other, kind, [found[0].threads], **asked)[0][0]
    judgement = judge(target, Observed.by(found[0]), Metric(name="accuracy"))
    comparison = gate.compared(subject_of(model, found[0]) if gate.baseline is not None else None)
    if plot is not None:
        _draw(found[0], compared, names_of(model, other or model), Path(plot))
    beside = (other, compared) if other is not None and compared is not None else None
    if as_json:
        with chatter_to_stderr():
            made = document(model, found, judgement, target.model_dump(mode="json"), beside)
        if comparison is not None:
            made["comparison"] = comparison.model_dump(mode="json")
        print_json(made)
    else:
        show(model, found, judgement, operators=most, compared=beside)
        show_comparison(comparison)
    report(gate, model, found[0], judgement, comparison)
    return exit_code(judgement.verdict, comparison)


def _only_boards(asked: dict[str, Any]) -> None:
    from armopt.core.errors import UsageError

    for name, value in asked.items():
        if value is not None:
            raise UsageError(f"--{name} is for boards, and this device is emulated", "name a board with --host")


def _draw(found: Measurement, compared: Measurement | None, names: tuple[str, str], path: Path) -> None:
    from armopt.show.operator_plot import compare_picture, operator_picture

    picture = operator_picture(found, names[0]) if compared is None else compare_picture(found, compared, names)
    save_drawn(picture, path)

"""`armopt measure`: one .tflite on one device, held against limits if there are any, and where its time goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.deploy import EXIT_OF_VERDICT
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


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", "device_name", metavar="KIND", required=True, help="Board kind; see armopt devices.")
@click.option("--emulate", is_flag=True, help="Emulate the board even where a real one is registered.")
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
@click.option("--plot", metavar="FILE", help="Draw the operators (or, with --compare, both models) as .svg or .png.")
@speed_options
@click.option("--offline", is_flag=True, help="Never fetch anything.")
@json_option
def command(
    model: Path,
    device_name: str,
    emulate: bool,
    threads: tuple[int, ...] | None,
    freq_mhz: int | None,
    runtime: RuntimeName | None,
    kernels: Kernels | None,
    by_operator: bool,
    all_operators: bool,
    other: Path | None,
    plot: str | None,
    offline: bool,
    as_json: bool,
    **limits: Any,
) -> int:
    """Run MODEL (any .tflite) on a device and say how long one inference takes and how well that is known.

    With several numbers of --threads the model runs once and is modelled for each; limits and operators are of the
    first.

    Exit codes: 0 within the limits (or none given), 1 not, 3 inconclusive, 2 usage, 4 device.
    """
    from armopt.catalog.devices import find_device
    from armopt.core.gate import Observed, judge
    from armopt.core.records import Metric

    check_picture_name(plot)
    target, kind = read_target(limits), find_device(device_name).running(runtime, kernels)
    numbers = threads or (kind.runtime.threads,)
    in_parts = by_operator or all_operators or other is not None or plot is not None
    with chatter_to_stderr():
        from armopt.measuring import measure_each

        asked: dict[str, Any] = {"freq_mhz": freq_mhz, "by_operator": in_parts, "say": say, "offline": offline}
        found, _ = measure_each(model, kind, numbers, **asked)
        compared = measure_each(other, kind, numbers[:1], **asked)[0][0] if other is not None else None
    observed = Observed(
        instructions=found[0].instructions,
        latency_ms=found[0].latency_ms,
        interval_ms=found[0].interval_ms,
        evidence=found[0].evidence,
    )
    judgement = judge(target, observed, Metric(name="accuracy"))
    if plot is not None:
        _draw(found[0], compared, names_of(model, other or model), Path(plot))
    beside = (other, compared) if other is not None and compared is not None else None
    if as_json:
        with chatter_to_stderr():
            made = document(model, found, judgement, target.model_dump(mode="json"), beside)
        print_json(made)
    else:
        most = None if all_operators else _TOP if by_operator else 0
        show(model, found, judgement, operators=most, compared=beside)
    return EXIT_OF_VERDICT[judgement.verdict]


def _draw(found: Measurement, compared: Measurement | None, names: tuple[str, str], path: Path) -> None:
    from armopt.show.operator_plot import compare_picture, operator_picture

    picture = operator_picture(found, names[0]) if compared is None else compare_picture(found, compared, names)
    save_drawn(picture, path)

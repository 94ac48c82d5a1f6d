"""`armopt deploy`: a Keras model down the tree until a leaf meets the target on the device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.deploy_gate import compared, report, rounds_for
from armopt.cli.gate_options import exit_code, gate_options, read_gate, show_comparison
from armopt.cli.output import chatter_to_stderr, json_option, own_stderr, print_record, print_rich, say
from armopt.cli.target_options import FIELDS, read_target, target_options
from armopt.core.errors import UsageError

if TYPE_CHECKING:
    from armopt.core.events import Listener
    from armopt.core.records import Result
    from armopt.core.search_record import Effort

# The contract of the verdict's exit codes; the errors' own stand in core/errors.py.
EXIT_OF_VERDICT = {None: 0, "met": 0, "missed": 1, "inconclusive": 3, "unstable": 3}

_DEFAULTS = {"profile": "default", "until": "first", "preprocess": "none"}
_FROM_PROJECT = (
    "model",
    "data",
    "device",
    "host",
    "vela_ini",
    "profile",
    "until",
    "loss",
    "metric",
    "preprocess",
    "custom_objects",
)


@click.command()
@click.argument("model", required=False)
@click.option("--data", metavar="DATA", help="digits, an .npz, a folder of class folders, or module:function (run).")
@click.option("--device", metavar="KIND", help="Board kind; see armopt devices.")
@click.option("--host", metavar="NAME[,NAME]", help="Registered boards of one kind; see armopt hosts list.")
@click.option("--emulate", is_flag=True, help="Emulate the board even where a real one is registered.")
@click.option("--vela-ini", metavar="FILE", help="The system around an Ethos-U, in place of the device's own.")
@click.option("--rollback", is_flag=True, help="Go back to the version before on the boards; nothing is built.")
@target_options
@click.option(
    "--until", type=click.Choice(["first", "best"]), help="Stop at the first leaf that meets it, or build all"
)
@click.option("--profile", metavar="NAME|PATH", help="Tree and strengths; see armopt tree.")
@click.option("--leaves", metavar="NAMES", help="Further leaves: 16x8, dynamic, float16 (fp16), sparse (commas).")
@click.option("--search", is_flag=True, help="Look for the strengths that serve the target best, and build those.")
@click.option("--trials", type=click.IntRange(1), metavar="N", help="Strengths that the search tries; 24 by default.")
@click.option("--budget", metavar="TIME", help="Time that the search may take, such as 30m.")
@click.option("--width", type=float, help="Share of its channels that each group keeps; else solved for the target.")
@click.option("--sparsity", type=float, help="Share of each pruned kernel that becomes zero.")
@click.option("--clusters", type=int, help="Distinct values of a clustered kernel.")
@click.option("--epochs", type=int, help="Of fine-tuning, per stage.")
@click.option("--distill", type=float, help="Share of each stage's loss that is agreement with the model as given.")
@click.option("--seed", type=int, help="Of everything random.")
@click.option("--loss", metavar="NAME", help="Keras name or module:function, where the model does not say.")
@click.option("--metric", metavar="NAME", help="Keras name or module:function, where the model does not say.")
@click.option("--custom-objects", metavar="MODULE", help="Module with the model's own layers (runs it).")
@click.option("--trust-model", is_flag=True, help="Allow code embedded in the model file, such as Lambda layers.")
@click.option("--preprocess", type=click.Choice(["none", "unit", "signed"]), help="Inputs as they are, 0..1, or -1..1.")
@click.option("--float-io", is_flag=True, help="float32 inputs and outputs in the .tflite.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Of the runtime.")
@click.option(
    "--rounds", type=click.IntRange(1, 30), metavar="N", help="On boards: at least so many processes; 30 to compare."
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that build nodes side by side.")
@click.option(
    "--worker-threads", type=click.IntRange(1), default=1, show_default=True, metavar="T", help="Of each worker."
)
@click.option("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers build the nodes (armopt[cluster]).")
@click.option("--out", metavar="DIR", help="Folder of the results; default armopt-out/MODEL-DEVICE.")
@click.option("--plots/--no-plots", default=True, show_default=True, help="Draw each kernel's density into DIR/plots.")
@gate_options
@click.option("--tensorboard", metavar="DIR", help="Log the run for TensorBoard (armopt[tensorboard]).")
@click.option("--mlflow", metavar="URI|on", help="Log it to MLflow: a server, a folder, or on (armopt[mlflow]).")
@click.option("--offline", is_flag=True, help="Never fetch anything.")
@click.option("--quiet", is_flag=True, help="No progress; the verdict and errors only.")
@json_option
def command(
    quiet: bool, as_json: bool, rollback: bool, tensorboard: str | None, mlflow: str | None, **options: Any
) -> int:
    """Prune, cluster and quantize MODEL until a leaf of the tree meets the target on the device.

    MODEL is a .keras or .h5 file or a SavedModel folder; --data digits has one of its own. What is left out here is
    taken from ./armopt.toml if there is one. Without limits the first leaf is built and shown.

    \b
    Exit codes: 0 met (or no limits) and no worse than the baseline, 1 not, 2 usage, 3 inconclusive or unstable,
    4 device or infrastructure, 130 interrupted.
    """  # noqa: D301 - click takes the backspace itself as its mark
    # What can be wrong on the command line is found before TensorFlow is imported, which takes seconds.
    gate = read_gate(options)
    arguments = _arguments(options)
    if rollback:
        from armopt.cli.rollback import roll_back

        return roll_back(arguments, as_json)
    arguments["rounds"] = rounds_for(gate, arguments)
    from armopt.core.events import Note
    from armopt.following import followed

    words = ("armopt", *(click.get_current_context().obj or ()))
    with chatter_to_stderr(), _listener(quiet) as shown_to, followed(shown_to, tensorboard, mlflow) as listener:
        listener(Note("loading TensorFlow"))
        from armopt.flow import deploy

        result = deploy(**arguments, command=words, listener=listener)
    result = compared(gate, result)
    if as_json:
        print_record(result)
    else:
        from armopt.show.result import result_table, verdict_lines
        from armopt.show.search import search_lines

        shown = [] if quiet else [result_table(result), *search_lines(result), *_npu(result)]
        print_rich(*shown, *verdict_lines(result))
        show_comparison(result.comparison)
    report(gate, result)
    return exit_code(result.verdict, result.comparison)


def _npu(result: Result) -> list[Any]:
    """What an Ethos-U's compiler said of each leaf, and of the chosen one's operators."""
    if result.runner != "vela":
        return []
    from armopt.show.npu import chosen_lines, nodes_table

    return ["", nodes_table(result), *chosen_lines(result)]


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    """What `flow.deploy` is called with: the command line, else the project file, else the defaults."""
    from armopt.catalog.profiles import check_overrides, find_profile
    from armopt.catalog.project import FILE_NAME, find_project
    from armopt.placing import find_place

    demo = options["data"] == "digits" and options["model"] is None
    project = None if demo else find_project()
    given = dict(options)
    overrides: dict[str, object] = {}
    written: dict[str, object] = {}
    if project is not None:
        say(f"{FILE_NAME} says what the command line leaves out")
        # Who names a device, or the emulator, does not mean the project's boards.
        elsewhere = {"host", "vela_ini"} if given["emulate"] or given["device"] is not None else set()
        left_out = [key for key in _FROM_PROJECT if given[key] is None and key not in elsewhere]
        given.update({key: getattr(project, key) for key in left_out})
        overrides.update(project.settings)
        written.update(project.target.model_dump())
    given.update({key: value for key, value in _DEFAULTS.items() if given[key] is None})
    find_place(given["device"], given["host"], given["emulate"], given["vela_ini"])
    if given["model"] is None and given["data"] is None:
        raise UsageError(
            "no model and no data given", "armopt deploy model.keras --data data.npz --device pi4; or --data digits"
        )

    for key in ("width", "sparsity", "clusters", "epochs", "distill", "seed"):
        value = given.pop(key)
        if value is not None:
            overrides[key] = value
    if options["epochs"] is not None:
        overrides["min_steps"] = 0  # who names epochs means epochs
    written.update({field: given.pop(field) for field in FIELDS if given.get(field) is not None})
    arguments = {key: value for key, value in given.items() if key not in FIELDS}
    arguments["workers"] = given["workers"] or 0
    arguments["search"] = _effort(arguments.pop("search"), arguments.pop("trials"), arguments.pop("budget"))
    arguments["leaves"] = tuple(name.strip() for name in (given["leaves"] or "").split(",") if name.strip())
    find_profile(arguments["profile"]).with_leaves(arguments["leaves"])
    return {**arguments, "overrides": check_overrides(overrides), "target": read_target(written)}


def _effort(search: bool, trials: int | None, budget: str | None) -> Effort | None:
    from armopt.core.search_record import Effort
    from armopt.core.target import parse_duration

    if not search and (trials is not None or budget is not None):
        raise UsageError(f"{'--trials' if trials is not None else '--budget'} bounds a search", "add --search")
    try:
        budget_s = None if budget is None else parse_duration(budget)
    except UsageError as error:
        raise UsageError(f"--budget: {error.what}", error.mend) from error
    return Effort(trials=trials, budget_s=budget_s) if search else None


@contextlib.contextmanager
def _listener(quiet: bool) -> Iterator[Listener]:
    if quiet:
        from armopt.core.events import silent

        yield silent
        return
    from armopt.show.console import progress

    with own_stderr() as stream, progress(stream) as listener:
        yield listener

"""The options that state a target, for every command that judges, and their way into a `Target`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from armopt.core.target import Target

F = TypeVar("F", bound=Callable[..., Any])

_LATENCY = click.option("--max-latency", metavar="TIME", help="Such as 20ms, or 20ms@p95 for a percentile but p50.")
_INSTRUCTIONS = click.option("--max-instructions", metavar="N", help="Per inference, such as 12.5M.")
_EVIDENCE = click.option(
    "--evidence",
    type=click.Choice(["measured", "modelled", "estimated"]),
    help="Weakest evidence that may decide about latency.",
)
_SIZE = click.option("--max-size", metavar="BYTES", help="Of the compressed (gzip) file, such as 200kB.")
_SRAM = click.option("--max-sram", metavar="BYTES", help="That the model takes beside an Ethos-U, such as 256KiB.")
_FLASH = click.option("--max-flash", metavar="BYTES", help="That its constants take beside an Ethos-U, such as 1MiB.")
_FALLBACK = click.option(
    "--allow-fallback",
    is_flag=True,
    default=None,
    help="Judge an Ethos-U's latency without the operators that it leaves to the CPU.",
)
_ACCURACY = click.option("--min-accuracy", metavar="VALUE", help="The task's metric at least (an error at most).")
_DROP = click.option("--max-drop", metavar="VALUE", help="How much of the metric may be lost, such as 0.01 or 1%.")

FIELDS = (
    "max_latency",
    "max_instructions",
    "max_size",
    "max_sram",
    "max_flash",
    "min_accuracy",
    "max_drop",
    "evidence",
    "allow_fallback",
)


def speed_options(command: F) -> F:
    """Add the limits that any .tflite can be held against."""
    for option in reversed((_LATENCY, _INSTRUCTIONS, _SRAM, _FLASH, _EVIDENCE, _FALLBACK)):
        command = option(command)
    return command


def target_options(command: F) -> F:
    """Add all limits."""
    for option in reversed((_LATENCY, _INSTRUCTIONS, _SIZE, _SRAM, _FLASH, _ACCURACY, _DROP, _EVIDENCE, _FALLBACK)):
        command = option(command)
    return command


def read_target(written: Mapping[str, object]) -> Target:
    """The target in `written`, a mapping from some of `FIELDS` to what the user wrote (None: not asked for).

    Raises:
        UsageError: a limit that is none; it names the option.
    """
    from pydantic import ValidationError

    from armopt.core.errors import UsageError
    from armopt.core.target import Target, parse_bytes, parse_count, parse_fraction, parse_latency

    def read(field: str, parse: Callable[[str], Any]) -> Any:
        value = written.get(field)
        if value is None:
            return None
        try:
            return parse(str(value))
        except UsageError as error:
            raise UsageError(f"{_flag(field)}: {error.what}", error.mend) from error

    latency = read("max_latency", parse_latency)
    limits = {
        "max_latency_ms": latency[0] if latency else None,
        "percentile": latency[1] if latency else "p50",
        "max_instructions": read("max_instructions", parse_count),
        "max_gz_bytes": read("max_size", parse_bytes),
        "max_sram_bytes": read("max_sram", parse_bytes),
        "max_flash_bytes": read("max_flash", parse_bytes),
        "min_accuracy": read("min_accuracy", parse_fraction),
        "max_drop": read("max_drop", parse_fraction),
        "evidence": written.get("evidence"),
        "allow_fallback": bool(written.get("allow_fallback")),
    }
    try:
        return Target.model_validate(limits)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise UsageError(f"{_flag(field)}: {message}, not {first['input']}", "correct that value") from error


def _flag(field: str) -> str:
    fields = {"max_latency_ms": "max-latency", "max_gz_bytes": "max-size"}
    return "--" + fields.get(field, field.removesuffix("_bytes").replace("_", "-"))

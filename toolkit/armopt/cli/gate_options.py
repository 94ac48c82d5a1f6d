"""The options that hold a result against an earlier one, and that tell CI systems of it; for `deploy` and `measure`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from armopt.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from armopt.core.comparison_record import Comparison
    from armopt.core.records import VerdictName
    from armopt.core.subject import Setting, Subject

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_REGRESSION = "1%"
# A slowdown of 5% is found by so many rounds a side (benchmarks/baselines.py); a limit is often decided by six.
ROUNDS = 30
# The contract of exit codes, for comparisons; those of limits stand in cli/deploy.py.
EXIT_OF_OUTCOME = {None: 0, "held": 0, "regressed": 1, "inconclusive": 3}
# The worse of two verdicts is the one further left.
_WORST_FIRST = (1, 3, 0)

_OPTIONS = (
    click.option(
        "--baseline", metavar="FILE", help="Earlier JSON of deploy or measure; what is worse than it exits with 1."
    ),
    click.option("--baseline-node", metavar="PATH", help="Node of a baseline by deploy, if not the one it chose."),
    click.option(
        "--max-regression",
        metavar="SHARE",
        help=f"By how much a figure may be worse than the baseline's; {DEFAULT_REGRESSION} by default.",
    ),
    click.option("--junit", metavar="FILE", help="Write JUnit XML for a CI system."),
    click.option("--markdown", metavar="FILE", help="Write a summary for a pull request."),
)


def gate_options(command: F) -> F:
    """Add them all."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Gate:
    """What the options come to.

    Attributes:
        baseline: what to compare with; None for nothing.
        max_regression: share of its figures by which ours may be worse.
        junit: file to write.
        markdown: file to write.
    """

    baseline: Subject | None
    max_regression: float
    junit: Path | None
    markdown: Path | None

    def expect(self, setting: Setting) -> None:
        """Refuse a baseline that came about differently, as far as that is known before anything runs.

        Raises:
            UsageError: it did.
        """
        from armopt.core.subject import require_alike

        if self.baseline is not None:
            require_alike(self.baseline.setting, setting)

    def compared(self, subject: Subject | None) -> Comparison | None:
        """The subject held against the baseline; None where either is missing.

        Raises:
            UsageError: the baseline came about differently.
        """
        from armopt.core.baseline import compare

        if self.baseline is None or subject is None:
            return None
        return compare(self.baseline, subject, self.max_regression)

    def write(self, junit: Callable[[], bytes], markdown: Callable[[], str]) -> None:
        """Write the files that were asked for, each whole or not at all.

        Raises:
            StoreError: one can't be written.
        """
        for path, content in ((self.junit, junit), (self.markdown, lambda: markdown().encode())):
            if path is not None:
                _write(path, content())


def read_gate(options: dict[str, Any]) -> Gate:
    """Take the options out of `options`, and read the baseline.

    Raises:
        UsageError: an option that is none, or a baseline that can't be read.
    """
    from armopt.comparing import read_subject

    baseline, node, allowed, junit, markdown = (
        options.pop(name) for name in ("baseline", "baseline_node", "max_regression", "junit", "markdown")
    )
    for name, value in (("--max-regression", allowed), ("--baseline-node", node)):
        if baseline is None and value is not None:
            raise UsageError(f"{name} speaks of a baseline, and there is none", "name one with --baseline")
    share = read_share(allowed or DEFAULT_REGRESSION)
    subject = None if baseline is None else read_subject(Path(baseline), node)
    files = [Path(name) if name is not None else None for name in (junit, markdown)]
    for file in files:
        if file is not None and file.is_dir():
            raise UsageError(f"'{file}' is a folder", "name a file")
    return Gate(subject, share, files[0], files[1])


def read_share(text: str) -> float:
    """What `--max-regression` says.

    Raises:
        UsageError: no share, or one below 0.
    """
    from armopt.core.target import parse_fraction

    try:
        share = parse_fraction(text)
    except UsageError as error:
        raise UsageError(f"--max-regression: {error.what}", error.mend) from error
    if share < 0:
        raise UsageError(f"--max-regression: {text} is below 0", "write it like 0.01 or 1%")
    return share


def exit_code(verdict: VerdictName | None, comparison: Comparison | None) -> int:
    """The worse of what the target and what the comparison come to."""
    from armopt.cli.deploy import EXIT_OF_VERDICT

    codes = (EXIT_OF_VERDICT[verdict], EXIT_OF_OUTCOME[comparison.verdict if comparison is not None else None])
    return min(codes, key=_WORST_FIRST.index)


def show_comparison(comparison: Comparison | None, most: int | None = 10) -> None:
    """Print it as tables and sentences."""
    if comparison is None:
        return
    from armopt.cli.output import print_rich
    from armopt.show.comparison import change_table, comparison_lines, operator_change_table

    shown: list[RenderableType] = ["", change_table(comparison)]
    if comparison.operators:
        shown += ["", operator_change_table(comparison, most)]
    print_rich(*shown, *comparison_lines(comparison, most))


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise StoreError(f"'{path}' can't be written: {error.strerror or error}", "name another file") from error
    finally:
        with contextlib.suppress(OSError):  # where not even its folder could be made
            part.unlink(missing_ok=True)

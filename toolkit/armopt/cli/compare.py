"""`armopt compare`: two results side by side: what got slower, which operator, why."""

from __future__ import annotations

from pathlib import Path

import click

from armopt.cli.gate_options import EXIT_OF_OUTCOME, read_share, show_comparison
from armopt.cli.output import json_option, print_record


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--before-node", metavar="PATH", help="Node of BEFORE, if not the one that it chose.")
@click.option("--after-node", metavar="PATH", help="Node of AFTER, likewise.")
@click.option("--max-regression", metavar="SHARE", help="Gate: by how much a figure of AFTER may be worse, such as 1%.")
@click.option("--all-operators", is_flag=True, help="List all operators that changed, not the ten that changed most.")
@json_option
def command(
    before: Path,
    after: Path,
    before_node: str | None,
    after_node: str | None,
    max_regression: str | None,
    all_operators: bool,
    as_json: bool,
) -> int:
    """Compare AFTER with BEFORE: JSON files of deploy or measure, or folders with a result.json.

    Operators are compared where both have them: `measure --by-operator --json`.

    Exit codes: 0, and with --max-regression 1 worse, 3 inconclusive; 2 usage, or results that can't be compared.
    """
    from armopt.comparing import read_subject
    from armopt.core.baseline import compare

    allowed = None if max_regression is None else read_share(max_regression)
    found = compare(read_subject(before, before_node), read_subject(after, after_node), allowed)
    if as_json:
        print_record(found)
    else:
        show_comparison(found, None if all_operators else 10)
    return EXIT_OF_OUTCOME[found.verdict]

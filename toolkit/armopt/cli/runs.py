"""`armopt runs`: earlier deployments, newest first."""

from __future__ import annotations

from pathlib import Path

import click

from armopt.cli.output import json_option, print_json, print_rich, say


@click.command()
@click.argument(
    "folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@json_option
def command(folders: tuple[Path, ...], as_json: bool) -> int:
    """List the runs in each FOLDER, or in its armopt-out: what was chosen and how good it is; newest first.

    Without FOLDER: the current one. armopt report makes a page of them.
    """
    from armopt.reporting import find_runs
    from armopt.show.runs import run_document, runs_table

    found = find_runs(folders or (Path(),), say)
    documents = [run_document(run.result, str(run.folder), run.ended) for run in found]
    if as_json:
        print_json({"runs": documents})
    elif documents:
        print_rich(runs_table(documents))
    else:
        say("no runs here: armopt deploy makes one")
    return 0

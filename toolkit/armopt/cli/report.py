"""`armopt report`: runs and measurements as one page to show to people."""

from __future__ import annotations

from pathlib import Path

import click

from armopt.cli.output import chatter_to_stderr, say


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Default: report.html of the run."
)
@click.option("--title", metavar="WORDS", help="Of the page; default: model and device.")
@click.option("--operators", is_flag=True, help="Tell operators apart where a result does not: emulate its device.")
@click.option("--offline", is_flag=True, help="Never fetch anything.")
def command(runs: tuple[Path, ...], output: Path | None, title: str | None, operators: bool, offline: bool) -> int:
    """Write one HTML file that shows a run, or several side by side, to people.

    RUN is a run's folder, its result.json, or a file of armopt measure --json; default: the latest run below the
    current folder. The file loads nothing, so it can be mailed, attached or put on any server. Its path is printed.
    """
    from dataclasses import replace

    from armopt.reporting import PAGE, latest_run, read_given, with_operators, write_page

    paths = list(runs) or [latest_run(Path.cwd(), say).folder]
    given = [read_given(path) for path in paths]
    folders = [path if path.is_dir() else path.parent for path in paths]
    if operators:
        with chatter_to_stderr():
            given = [with_operators(one, folder, say, offline) for one, folder in zip(given, folders, strict=True)]
    names = [one.name for one in given]
    # Folders of the same name are told apart by what they lie in.
    given = [
        replace(one, name=f"{folder.resolve().parent.name}/{one.name}") if names.count(one.name) > 1 else one
        for one, folder in zip(given, folders, strict=True)
    ]
    file = output or (folders[0] / PAGE if len(paths) == 1 and given[0].is_tree else Path(f"armopt-{PAGE}"))
    size = write_page(given, file, title)
    say(f"wrote {size / 1e3:,.0f} kB")
    click.echo(str(file))
    return 0

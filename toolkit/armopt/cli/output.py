"""A command's product goes to stdout and nothing else does: progress, remarks and libraries' chatter go to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pydantic import BaseModel
    from rich.console import RenderableType

# Where stdout is a file or a pipe, tables are as wide as they need and not cut to a terminal's 80 columns.
_PIPE_WIDTH = 200

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")


def print_json(document: Any) -> None:
    """Print a JSON document, ASCII only: no escape from a model or a file reaches a terminal through it."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_record(record: BaseModel) -> None:
    """Print a record as a JSON document; what is not a number (a loss gone astray) becomes null."""
    print_json(json.loads(record.model_dump_json(by_alias=True)))


def print_rich(*renderables: RenderableType) -> None:
    """Print tables and sentences; without colours where stdout is no terminal."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    for renderable in renderables:
        console.print(renderable)


def say(text: str) -> None:
    """Progress and remarks, on stderr."""
    from armopt.show.text import clean

    click.echo(clean(text), err=True)


def check_picture_name(path: str | None) -> None:
    """Raise UsageError where the name does not say that it is an .svg or a .png."""
    from armopt.core.errors import UsageError

    if path is not None and Path(path).suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"'{path}' is no picture's name", "end it in .svg or .png")


def save_drawn(picture: Figure, path: Path) -> None:
    """Write a picture and say so; StoreError where that can't be done."""
    from armopt.core.errors import StoreError
    from armopt.show.plot_files import save_as

    try:
        save_as(picture, path)
    except OSError as error:
        raise StoreError(f"'{path}' can't be written: {error.strerror or error}", "name another file") from error
    say(f"drew {path}")


@contextlib.contextmanager
def own_stderr() -> Iterator[TextIO]:
    """Stderr by a descriptor of its own: what is told gets there even while libraries' chatter is held back."""
    try:
        number = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # not a file: a test reads it
        yield sys.stderr
        return
    with open(number, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace") as stream:  # noqa: PTH123
        yield stream


@contextlib.contextmanager
def chatter_to_stderr() -> Iterator[None]:
    """Meanwhile whatever prints to stdout, in Python or in C, prints to stderr."""
    sys.stdout.flush()
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file: a test reads it
        number = None
    kept = None if number is None else os.dup(number)
    try:
        if number is not None:
            os.dup2(2, number)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if number is not None and kept is not None:
            os.dup2(kept, number)
            os.close(kept)

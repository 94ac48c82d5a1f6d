"""`armopt audit`: what a .tflite holds, whoever made it."""

from __future__ import annotations

from pathlib import Path

import click

from armopt.cli.output import chatter_to_stderr, json_option, print_record, print_rich


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@json_option
def command(model: Path, as_json: bool) -> int:
    """Read MODEL (a .tflite) and show zeros, distinct codes and sizes, tensor by tensor, from its own bytes."""
    with chatter_to_stderr():
        from armopt.compress.audit import audit

        found = audit(model)
    if as_json:
        print_record(found)
    else:
        from armopt.show.audit import audit_lines, audit_table

        print_rich(audit_table(found), *audit_lines(found))
    return 0

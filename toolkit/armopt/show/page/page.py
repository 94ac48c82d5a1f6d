"""Writes the page: view models into templates, and a policy under which no browser loads or runs anything else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from armopt.core.version import VERSION
from armopt.show.page.bars import FIRST
from armopt.show.page.model import Given, page_view


def html_page(given: Sequence[Given], title: str | None = None) -> str:
    """One HTML file of the runs.

    Names, notes and reasons come from models, boards and files: they are cleaned as for a terminal, escaped by the
    template, and none of them gets into the script or the style.

    Args:
        given: the runs, at least one, in the order of the page.
        title: of the page; None: what it is of.
    """
    environment = Environment(
        loader=PackageLoader("armopt.show.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style, script = _own("style.css"), _own("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html.j2").render(
        page=page_view(given, title),
        style=Markup(style),  # a file of this package
        script=Markup(script),
        policy=policy,
        version=VERSION,
        first_rows=FIRST,
    )


def _own(name: str) -> str:
    return (files("armopt.show.page") / "templates" / name).read_text("utf-8")


def _hash(content: str) -> str:
    """As a content security policy names what it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"

"""A document of `armopt measure --json`, read back: the keys of a node and of a measurement side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from armopt.core.errors import UsageError
from armopt.core.records import Measurement, Node
from armopt.core.version import VERSION


def node_and_measurement(document: dict[str, Any], file: Path) -> tuple[Node, Measurement]:
    """Its two records.

    Raises:
        UsageError: it is none that this version can read; `file` is where it came from.
    """

    def part(record: type[Node] | type[Measurement]) -> dict[str, Any]:
        return {key: document[key] for key in record.model_fields if key in document}

    try:
        return Node.model_validate(part(Node)), Measurement.model_validate(part(Measurement))
    except ValidationError as error:
        raise not_a_measurement(error, file) from error


def not_a_measurement(error: ValidationError, file: Path) -> UsageError:
    """What is wrong with the first of the document's keys that is wrong."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the document"
    return UsageError(
        f"'{file}' is no measurement of armopt {VERSION}: {where}: {first['msg']}", "run armopt measure --json again"
    )

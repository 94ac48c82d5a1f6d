"""Reads one TOML file into one record, whatever is wrong with it in one line that names file and key; writes lines."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from armopt.core.errors import UsageError
from armopt.core.records import Record

R = TypeVar("R", bound=Record)


def read_toml_record(path: Path, record: type[R]) -> R:
    """Parse `path` as `record`.

    Raises:
        UsageError: the file can't be read, is no TOML, or a key is unknown, missing or of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})", "check the path and its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML ({error})", "correct that line") from error
    try:
        return record.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{path}: unknown key {key}{more}", "remove it or correct its spelling") from error
        if first["type"] == "missing":
            raise UsageError(f"{path}: key {key} is missing{more}", "add it") from error
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{path}: {key}: {message[:1].lower()}{message[1:]}{more}", "correct that value") from error


def toml_line(key: str, value: object) -> str:
    """A line of TOML: JSON's strings, numbers and lists are TOML's, but for the escape of DEL."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
    return f"{key} = {written}"

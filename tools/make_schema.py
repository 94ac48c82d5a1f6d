"""Writes docs/schema/result.schema.json from the records: `make schema`. A test fails where the file is out of date."""

from __future__ import annotations

import json
from pathlib import Path

from armopt.core.records import Result

SCHEMA_FILE = Path(__file__).resolve().parents[1] / "docs" / "schema" / "result.schema.json"


def schema_text() -> str:
    """The JSON Schema of `result.json` and of `armopt deploy --json`, as the file holds it."""
    schema = Result.model_json_schema(by_alias=True, mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")

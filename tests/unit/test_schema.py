from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from armopt.core.records import Result

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from make_schema import SCHEMA_FILE, schema_text

SCHEMA = json.loads(SCHEMA_FILE.read_text())


def test_the_schema_in_the_docs_is_that_of_the_records() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run: make schema"


def test_a_result_is_valid_by_its_schema(result: Result) -> None:
    jsonschema.validate(json.loads(result.model_dump_json(by_alias=True)), SCHEMA)


def test_a_key_that_the_records_do_not_know_is_not_valid(result: Result) -> None:
    document = json.loads(result.model_dump_json(by_alias=True))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "surprise": 1}, SCHEMA)


def test_accuracy_is_keyed_float_int8_and_device(result: Result) -> None:
    document = json.loads(result.model_dump_json(by_alias=True))
    assert set(document["nodes"][0]["accuracy"]) == {"float", "int8", "device"}

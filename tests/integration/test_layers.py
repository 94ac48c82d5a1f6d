"""docs/layers.md says of each layer what a model with it shows here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from layer_rows import CASES, HELD, PROVED, REFUSED, Case, find_row

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from make_layers_page import PAGE_FILE, page, rows_of

PAGE = PAGE_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_page_says_what_becomes_of(case: Case) -> None:
    row = find_row(case)
    assert row.line() in rows_of(PAGE), f"run: make layers-page; found: {row.line()}"
    assert row.file.split(" as ")[0] == PROVED or row.file.startswith((f"{HELD}: ", f"{REFUSED}: "))


def test_the_page_has_a_row_for_each_case_and_nothing_made_by_hand() -> None:
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows_of(PAGE)] == [case.name for case in CASES]
    assert page(rows_of(PAGE)) == PAGE, "run: make layers-page"

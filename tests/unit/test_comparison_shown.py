from __future__ import annotations

import io
import unicodedata
from typing import Any

import pytest
from hostile import NAMES
from rich.console import Console
from subjects import emulated, side

from armopt.core.baseline import compare
from armopt.core.comparison_record import Comparison
from armopt.show.comparison import change_table, comparison_lines, operator_change_table

CONV = "xnn_qs8_qc8w_igemm_minmax_fp32_ukernel_2x8c8__asm_aarch64_neon_mlal_prfm"


def printed(comparison: Comparison, most: int | None = 10) -> str:
    page = Console(width=160, file=io.StringIO(), highlight=False)
    for part in (
        change_table(comparison),
        operator_change_table(comparison, most),
        *comparison_lines(comparison, most),
    ):
        page.print(part)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


def test_the_table_says_what_got_slower_and_the_last_line_the_verdict() -> None:
    text = printed(compare(emulated((side(0),)), emulated((side(0), side(1, "ADD", 900))), 0.001))
    rows = [line.split() for line in text.splitlines()]
    assert ["instructions", "100,000", "100,900", "+0.9%", "regressed"] in rows
    assert ["#1", "ADD", "8x8x16", "-", "900", "+0.0009", "new", "operator"] in rows
    assert "REGRESSED by more than 0.1%" in text


def test_without_a_gate_there_is_no_verdict() -> None:
    text = printed(compare(emulated(), emulated(instructions=900_000), None))
    assert "verdict" not in text and "regressed" not in text and "+200.0%" in text


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"kernel": "gemm"}, "kernel gemm, was igemm 2x8c8 mlal"),
        ({"macs": 2_000_000}, "2.0 M multiplications, were 100.0 k"),
        ({"macs": None}, "unknown multiplications, were 100.0 k"),
        ({"shape": (1, 8, 8, 32)}, "output 8x8x32, was 8x8x16"),
        ({"run_by": "runtime"}, "run by runtime, was by xnnpack"),
        ({"bound": "bandwidth"}, "limited by bandwidth, was by multiplying"),
        ({"bound": None}, "limited by nothing known, was by multiplying"),
        ({}, "the same work and kernel"),
    ],
)
def test_the_reason_is_what_differs(after: dict[str, Any], words: str) -> None:
    before = side(0, kernel=CONV)
    changed = side(3, instructions=200_000, **{"macs": 100_000, "kernel": CONV, **after})
    text = printed(compare(emulated((before,)), emulated((changed,)), 0.01))
    assert words in text and "#3 (was #0)" in text


def test_operators_that_vanish_or_are_fused_are_told() -> None:
    pad, conv = side(0, "PAD", 5_000, macs=None), side(1)
    fused = printed(compare(emulated((pad, conv)), emulated((side(0, "PAD", 0, macs=None), conv)), 0.01))
    assert "fused or left out now" in fused
    assert "runs by itself now" in printed(
        compare(emulated((side(0, "PAD", 0, macs=None), conv)), emulated((pad, conv)), 0.01)
    )
    gone = printed(compare(emulated((pad, conv)), emulated((conv,)), 0.01))
    assert "(was #0)" in gone and "no longer there" in gone


def test_what_regressed_is_listed_before_larger_changes_and_the_rest_is_counted() -> None:
    before = tuple(side(number, macs=number, instructions=10_000) for number in range(20))
    after = tuple(
        side(number, macs=number if number == 19 else 100 + number, instructions=10_000 + 1000 * (20 - number))
        for number in range(20)
    )
    comparison = compare(emulated(before), emulated(after), 0.01)
    assert [change.outcome for change in comparison.operators].count("regressed") == 1
    text = printed(comparison, 3)
    assert "#19" in text and "17 more operators changed" in text
    assert "more operators changed" not in printed(comparison, None)


@pytest.mark.parametrize("name", NAMES)
def test_names_do_not_steer_the_terminal(name: str) -> None:
    operators = (side(0, name=name, kind=name, kernel=name, bound=name, run_by=name), side(1, name=name))
    text = printed(compare(emulated((side(0),), model=name), emulated(operators, model=name), 0.0))
    assert all(unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co") for one in text.replace("\n", ""))
    assert len(text) < 20_000

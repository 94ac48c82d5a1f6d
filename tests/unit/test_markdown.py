from __future__ import annotations

from itertools import pairwise

import pytest
from hostile import NAMES, names
from hypothesis import HealthCheck, given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token
from subjects import emulated, side
from test_junit import FEW, hostile, measured, regressed

from armopt.core.baseline import compare
from armopt.core.gate import Judgement
from armopt.core.records import Result, Score
from armopt.show.markdown import markdown_of_measurement, markdown_of_result
from armopt.show.text import clean

ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
NOTHING = Judgement(verdict=None, checks=())
JOINER = "\u2060"
ONLY_TEXT = {"text", "text_special", "html_inline", "strong_open", "strong_close"}


def tokens(text: str) -> list[Token]:
    """As CommonMark with tables and struck words has it, and what addresses would become links."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def tables(text: str) -> list[list[list[str]]]:
    """The shown words of each table: rows of cells."""
    found: list[list[list[str]]] = []
    inside = ""
    for token in tokens(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            inside = token.type
        elif token.type == "inline" and inside:
            found[-1][-1].append("".join(child.content for child in token.children or ()))
            inside = ""
    return found


def kinds(text: str) -> set[str]:
    """The kinds of all tokens within lines."""
    return {child.type for token in tokens(text) for child in token.children or ()}


def raw_html(text: str) -> set[str]:
    return {
        child.content
        for token in tokens(text)
        for child in (token, *(token.children or ()))
        if child.type in ("html_inline", "html_block")
    }


def test_the_verdict_comes_first_and_the_nodes_are_a_table(result: Result) -> None:
    text = markdown_of_result(result)
    assert text.startswith("## armopt: digits on pi4\n")
    assert "**TARGET MET** by <code>prune/cluster/ptq</code>: 9,123 bytes (gzip) within 20,000" in text
    [nodes] = tables(text)
    assert nodes[0] == ["node", "status", "accuracy", "gzip", "latency p50", "instructions", "evidence"]
    assert nodes[2] == ["ptq", "missed", "0.9833", "31.0 kB", "0.207 ms (0.17 to 0.261)", "1.2 M", "modelled"]
    assert nodes[6][:2] == ["prune/cluster/ptq", "met, chosen"]
    assert "<code>qat</code> skipped: can't help size on pi4" in text


def test_a_regression_is_told_with_its_operators(result: Result) -> None:
    text = markdown_of_result(result, regressed())
    assert "**REGRESSED by more than 1%** (baseline: <code>net</code>)" in text
    _, figures, operators = tables(text)
    assert figures[0] == ["figure", "before", "after", "change", "verdict"]
    assert ["instructions", "100,000", "150,000", "+50.0%", "regressed"] in figures
    shown = [cell.replace(JOINER, "") for cell in operators[1]]
    assert shown == ["#1", "FULLY_CONNECTED", "8x8x16", "-", "50,000", "+0.0500", "new operator"]


def test_a_measurement_is_told_with_its_limits() -> None:
    judgement = Judgement(verdict="missed", checks=())
    score = Score(metric="accuracy", value=0.9, samples=100)
    text = markdown_of_measurement("net", measured(interval_ms=(1.2, 1.4), score=score, instructions=5), judgement)
    assert "**MISSED**" in text and "litert 2.1.6, 1 thread, 1800 MHz" in text
    assert tables(text)[0][1:] == [
        ["latency p50, modelled", "1.3 ms (1.2 to 1.4)"],
        ["instructions", "5"],
        ["accuracy", "0.9000"],
    ]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_show_as_they_are(result: Result, name: str) -> None:
    comparison = compare(
        emulated(FEW, model=name), emulated((side(0, kind=name, name=name, kernel=name, shape=()),), model=name), 0.0
    )
    text = markdown_of_result(hostile(result, name), comparison)
    assert kinds(text) <= {"text", "text_special", "html_inline", "strong_open", "strong_close"}
    assert raw_html(text) <= {
        "<code>", "</code>", "<sub>", "</sub>", "</details>", "<details><summary>Nodes that were not taken</summary>\n",
        "</details>\n",
    }  # fmt: skip
    assert tables(text)[0][1][0].replace(JOINER, "") == clean(name, 120).replace(JOINER, "")
    assert len(text) < 60_000, "what a comment may have on GitHub is 65,536 characters"


@pytest.mark.parametrize("name", NAMES)
def test_names_neither_notify_anyone_nor_become_links(name: str) -> None:
    text = markdown_of_measurement(name, measured(runtime=name), NOTHING)
    shown = "".join(child.content for token in tokens(text) for child in token.children or ())
    for sign in "@#!$~&":
        assert all(after in (JOINER, " ") for before, after in pairwise(shown) if before == sign)
    assert "http:" not in text.replace("http&#58;", "") and "www." not in text


@ONCE
@given(names)
def test_any_name_leaves_tables_and_lines_as_they_are(result: Result, name: str) -> None:
    text, plain = (markdown_of_result(hostile(result, word)) for word in (f"n{name}", "n"))
    assert [[len(row) for row in table] for table in tables(text)] == [
        [len(row) for row in table] for table in tables(plain)
    ]
    assert len(text.splitlines()) == len(plain.splitlines())
    assert kinds(text) <= ONLY_TEXT
    assert tables(text)[0][1][0].replace(JOINER, "") == clean(f"n{name}", 120)

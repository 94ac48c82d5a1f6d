"""A run or a measurement as Markdown for a pull request: the verdict in a sentence, then tables.

GitHub and GitLab render it. Names come from models and may hold anything, so all that could be markup is written as
numbered entities: it then shows as it is, whatever it is (CommonMark 0.31, 2.5: entities are never markup).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from armopt.core.comparison_record import Comparison
from armopt.core.gate import Judgement
from armopt.core.records import Measurement, Node, Result
from armopt.show import figures
from armopt.show.causes import why
from armopt.show.comparison import figure_cells, operator_cells, shown_operators, verdict_words
from armopt.show.text import clean

# What can be markup within a line: always, or beside certain characters. A colon before a word makes addresses and
# smileys, a full stop beside a letter `www.`, an underscore at the edge of a word emphasis, a percent sign before a
# word GitLab's milestones.
_MARKUP = re.compile(
    r"""[\\`*\[\]<>|&~@#!$]|:(?=\S)|%(?=[\w"])|(?<!\d)\.|\.(?=[^\d\s])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"""
)
# Forges make links and notifications of what they find in rendered text: @name, #12, !12, $12, ~label. A word joiner
# after the sign keeps them from it and can't be seen.
_SIGNS, _JOINER = "@#!$~&%", "&#8288;"
_CELL, _SENTENCE = 120, 1000


def markdown_of_result(result: Result, comparison: Comparison | None = None) -> str:
    """The summary of a deployment."""
    title = f"armopt: {result.model} on {result.device}"
    words = {
        "met": "TARGET MET",
        "missed": "TARGET MISSED",
        "inconclusive": "INCONCLUSIVE",
        "unstable": "UNSTABLE",
        None: "BUILT" if result.chosen else "NOTHING WAS BUILT",
    }[result.verdict]
    chosen = f" by {_code(result.chosen)}" if result.chosen else ""
    parts = [f"## {_text(title)}", _sentence(f"**{words}**{chosen}", result.reason), _node_table(result)]
    told = [f"- {_code(node.path)} {node.status}: {_text(node.reason, _SENTENCE)}" for node in _told(result)]
    if told:
        parts.append("\n".join(["<details><summary>Nodes that were not taken</summary>", "", *told, "", "</details>"]))
    return "\n\n".join([*parts, *_comparison(comparison), _about(_how(result))]) + "\n"


def markdown_of_measurement(
    model: str, found: Measurement, judgement: Judgement, comparison: Comparison | None = None
) -> str:
    """The summary of a single measurement."""
    parts = [f"## {_text(f'armopt: {model} on {found.device}')}"]
    if judgement.verdict is not None:
        parts.append(_sentence(f"**{judgement.verdict.upper()}**", judgement.reason))
    rows = []
    if found.latency_ms is not None:
        bounds = f" ({figures.interval(found.interval_ms)})" if found.interval_ms else ""
        value = getattr(found.latency_ms, found.percentile)
        rows.append([f"latency {found.percentile}, {found.evidence}", f"{figures.milliseconds(value)}{bounds}"])
    if found.instructions is not None:
        rows.append(["instructions", f"{found.instructions:,}"])
    if found.score is not None:
        rows.append([found.score.metric, figures.metric_value(found.score.value)])
    parts.append(_table(["figure", "value"], rows, range(1, 2)))
    threads = f"{found.threads} thread{'s' if found.threads != 1 else ''}"
    how = f"{found.host or found.device}, {found.evidence}: {found.runtime}, {threads}, {found.freq_mhz} MHz"
    return "\n\n".join([*parts, *_comparison(comparison), _about(how)]) + "\n"


def _node_table(result: Result) -> str:
    metric = clean(result.metric.name, 24)
    rows = []
    for node in result.nodes:
        value = node.accuracy.int8 if node.accuracy.int8 is not None else node.accuracy.keras
        latency = ""
        if node.latency_ms is not None:
            bounds = f" ({figures.interval(node.interval_ms)})" if node.interval_ms else ""
            latency = f"{figures.milliseconds(node.latency_ms.p50)}{bounds}"
        rows.append(
            [
                node.path,
                f"{node.status}, chosen" if node.path == result.chosen else node.status,
                "" if value is None else figures.metric_value(value),
                "" if node.gz_bytes is None else figures.size(node.gz_bytes),
                latency,
                "" if node.instructions is None else figures.count(node.instructions),
                node.evidence or "",
            ]
        )
    return _table(["node", "status", metric, "gzip", "latency p50", "instructions", "evidence"], rows, range(2, 6))


def _told(result: Result) -> list[Node]:
    return [
        node
        for node in result.nodes
        if node.reason and node.path != result.chosen and node.status not in ("met", "built", "trained")
    ]


def _comparison(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return []
    head = f"**{verdict_words(comparison)}** (baseline: {_code(comparison.baseline)})"
    parts = ["### Against the baseline", _sentence(head, comparison.reason)]
    rows = []
    for change in comparison.changes:
        cells = [str(cell) for cell in figure_cells(change)]
        rows.append([*cells, change.outcome or "not gated"])
    parts.append(_table(["figure", "before", "after", "change", "verdict"], rows, range(1, 4)))
    operators = shown_operators(comparison)
    if operators:
        counted = "cycles" if comparison.evidence == "estimated" else "instructions"
        head_row = ["at", "operator", "output", f"{counted} before", "after", "ms", "why"]
        parts.append(_table(head_row, [[*operator_cells(change), why(change)] for change in operators], range(3, 6)))
    hidden = len(comparison.operators) - len(operators)
    notes = [f"{hidden} more operators changed"] if hidden else []
    return [*parts, *(f"- {_text(note, _SENTENCE)}" for note in [*notes, *comparison.notes])]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: range) -> str:
    """A table; the columns numbered `right` hold figures."""
    marks = ["--:" if number in right else "---" for number in range(len(head))]
    lines = [f"| {' | '.join(map(_text, head))} |", f"|{'|'.join(marks)}|"]
    lines += [f"| {' | '.join(map(_text, row))} |" for row in rows]
    return "\n".join(lines)


def _sentence(head: str, reason: str) -> str:
    return f"{head}: {_text(reason, _SENTENCE)}" if reason else head


def _how(result: Result) -> str:
    where = ", ".join(result.hosts) or result.device
    return f"{where}, {result.evidence}; {result.data}; armopt {result.armopt_version}"


def _about(how: str) -> str:
    return f"<sub>{_text(how, _SENTENCE)}</sub>"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str, limit: int = _CELL) -> str:
    """On one line, cut, and no character of it markup."""
    return _MARKUP.sub(lambda found: _entity(found[0]), clean(text, limit))


def _entity(character: str) -> str:
    return f"&#{ord(character)};{_JOINER if character in _SIGNS else ''}"

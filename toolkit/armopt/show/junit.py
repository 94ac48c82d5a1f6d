"""A run or a measurement as JUnit XML, which CI systems show: a case for each limit, each node, each compared figure.

The report is red where the exit code is not 0, and only there: a node that was not taken is no failure of a run in
which another one met the target. Names come from models and may hold anything, so they are cleaned and cut.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from armopt.core.comparison_record import Comparison
from armopt.core.gate import Check, Judgement
from armopt.core.records import Measurement, Node, Result
from armopt.core.told_checks import checks_of
from armopt.show.figures import node_figures
from armopt.show.text import clean

Fate = Literal["passed", "failure", "error", "skipped"]

# What XML 1.0 has no way to hold, not even escaped (https://www.w3.org/TR/xml/#charsets).
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME_LENGTH = 200


@dataclass(frozen=True)
class Case:
    """One test case: `kind` and `message` say what went wrong, or why it was skipped."""

    group: str
    name: str
    fate: Fate = "passed"
    kind: str = ""
    message: str = ""
    seconds: float = 0.0


def junit_of_result(result: Result, comparison: Comparison | None = None) -> bytes:
    """The XML of a deployment."""
    checks = [_check_case(check) for check in checks_of(result)]
    whole = _verdict_case(result.verdict, result.reason)
    nodes = [_node_case(node, result) for node in result.nodes if node.status != "waiting"]
    about = {
        "armopt": result.armopt_version,
        "device": result.device,
        "hosts": ", ".join(result.hosts),
        "evidence": result.evidence,
        "chosen": result.chosen or "",
    }
    suite = f"armopt deploy {result.model} on {result.device}"
    return _document(suite, [*whole, *checks, *nodes, *_comparison_cases(comparison)], about, result.seconds)


def junit_of_measurement(
    model: str, found: Measurement, judgement: Judgement, comparison: Comparison | None = None
) -> bytes:
    """The XML of a single measurement."""
    about = {
        "device": found.device,
        "host": found.host or "",
        "evidence": found.evidence,
        "runtime": found.runtime,
        "threads": str(found.threads),
    }
    cases = [Case("measurement", model, seconds=found.seconds), *map(_check_case, judgement.checks)]
    suite = f"armopt measure {model} on {found.device}"
    return _document(suite, [*cases, *_comparison_cases(comparison)], about, found.seconds)


def _verdict_case(verdict: str | None, reason: str) -> list[Case]:
    if verdict is None:
        return []
    fate: Fate = "passed" if verdict == "met" else "failure"
    return [Case("target", "verdict", fate, verdict, reason)]


def _check_case(check: Check) -> Case:
    fate: Fate = "passed" if check.verdict == "met" else "failure"
    return Case("target", check.criterion, fate, check.verdict, check.reason)


def _node_case(node: Node, result: Result) -> Case:
    """A node that something is wrong with is a failure where nothing met the target, else it was merely not taken."""
    fates: dict[str, Fate] = {
        "missed": "failure",
        "inconclusive": "failure",
        "unstable": "failure",
        "failed": "error",
        "skipped": "skipped",
    }
    fate, message = fates.get(node.status, "passed"), node.reason
    if fate in ("failure", "error") and result.verdict in ("met", None):
        fate, message = "skipped", f"{node.status}: {node.reason}"
    figures = node_figures(node)
    if figures and fate != "passed":
        message = f"{message} ({figures})"
    return Case("node", node.path, fate, node.status, message, node.seconds or 0.0)


def _comparison_cases(comparison: Comparison | None) -> list[Case]:
    if comparison is None:
        return []
    cases = []
    for change in comparison.changes:
        fate: Fate = "failure" if change.outcome in ("regressed", "inconclusive") else "passed"
        cases.append(Case("baseline", change.criterion, fate, change.outcome or "", change.reason))
    if not cases and comparison.verdict == "inconclusive":
        cases.append(Case("baseline", "verdict", "failure", "inconclusive", comparison.reason))
    return cases


def _document(suite: str, cases: Sequence[Case], about: dict[str, str], seconds: float) -> bytes:
    fates = [case.fate for case in cases]
    counts = {
        "tests": str(len(cases)),
        "failures": str(fates.count("failure")),
        "errors": str(fates.count("error")),
        "skipped": str(fates.count("skipped")),
        "time": f"{seconds:.3f}",
    }
    root = xml.Element("testsuites", {"name": "armopt", **counts})
    one = xml.SubElement(root, "testsuite", {"name": _safe(suite), **counts})
    _properties(one, about.items())
    for case in cases:
        attributes = {
            "classname": f"armopt.{case.group}",
            "name": _safe(case.name) or "(nameless)",
            "time": f"{case.seconds:.3f}",
        }
        element = xml.SubElement(one, "testcase", attributes)
        message = _safe(case.message, None)
        if case.fate == "skipped":
            xml.SubElement(element, "skipped", {"message": message})
        elif case.fate != "passed":
            # Some viewers show the attribute, others the text.
            xml.SubElement(element, case.fate, {"type": _safe(case.kind), "message": message}).text = message
        elif message:
            xml.SubElement(element, "system-out").text = message
    xml.indent(root)
    content: bytes = xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _properties(suite: xml.Element, about: Iterable[tuple[str, str]]) -> None:
    element = xml.SubElement(suite, "properties")
    for name, value in about:
        if value:
            xml.SubElement(element, "property", {"name": name, "value": _safe(value)})


def _safe(text: str, limit: int | None = _NAME_LENGTH) -> str:
    """On one line, cut, without what XML can't hold; the library escapes the rest."""
    return _NO_XML.sub("", clean(text) if limit is None else clean(text, limit))

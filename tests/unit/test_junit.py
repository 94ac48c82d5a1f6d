from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from typing import Any

import pytest
from hostile import NAMES, names
from hypothesis import HealthCheck, given, settings
from subjects import emulated, side

from armopt.core.baseline import compare
from armopt.core.comparison_record import Comparison
from armopt.core.gate import Check, Judgement
from armopt.core.records import Latency, Measurement, Result
from armopt.show.junit import junit_of_measurement, junit_of_result

ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
FEW, MORE = (side(0),), (side(0), side(1, "FULLY_CONNECTED", 50_000))


def measured(**more: Any) -> Measurement:
    known: dict[str, Any] = {
        "device": "pi4", "runner": "qemu", "evidence": "modelled", "runtime": "litert 2.1.6", "threads": 1,
        "freq_mhz": 1800, "latency_ms": Latency(p50=1.3), "seconds": 2.0,
    }  # fmt: skip
    return Measurement(**{**known, **more})


def regressed(allowed: float | None = 0.01) -> Comparison:
    return compare(emulated(FEW), emulated(MORE), allowed)


def cases(content: bytes) -> dict[str, str]:
    """What each case came to: 'passed', or the name of the element that says otherwise."""
    root = xml.fromstring(content)
    found = {}
    for case in root.iter("testcase"):
        told = [child.tag for child in case if child.tag != "system-out"]
        found[f"{case.get('classname')}: {case.get('name')}"] = told[0] if told else "passed"
    return found


def test_a_run_has_a_case_for_each_limit_and_each_node(result: Result) -> None:
    found = cases(junit_of_result(result))
    assert found["armopt.target: verdict"] == "passed"
    assert found["armopt.target: size"] == "passed"
    assert {f"armopt.node: {node.path}" for node in result.nodes} < set(found)
    assert found["armopt.node: qat"] == "skipped"


def test_skipped_nodes_say_why_and_built_ones_what_was_observed(result: Result) -> None:
    root = xml.fromstring(junit_of_result(result))
    [qat] = [case for case in root.iter("testcase") if case.get("name") == "qat"]
    assert qat[0].get("message") == "can't help size on pi4: it can only win back accuracy"


def test_a_run_that_met_its_target_has_no_failures_though_nodes_missed_it(result: Result) -> None:
    root = xml.fromstring(junit_of_result(result))
    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    found = cases(junit_of_result(result))
    assert found["armopt.node: ptq"] == found["armopt.node: prune/pqat"] == "skipped"


@pytest.mark.parametrize("verdict", ["missed", "inconclusive", "unstable"])
def test_in_a_run_that_did_not_missed_nodes_are_failures_and_failed_ones_errors(result: Result, verdict: Any) -> None:
    other = result.model_copy(update={"verdict": verdict, "chosen": None})
    found = cases(junit_of_result(other))
    assert found["armopt.target: verdict"] == found["armopt.node: ptq"] == "failure"
    assert found["armopt.node: prune/pqat"] == "error"
    assert f'type="{verdict}"'.encode() in junit_of_result(other)


def test_the_counts_are_those_of_the_cases(result: Result) -> None:
    missed = result.model_copy(update={"verdict": "missed", "chosen": None})
    root = xml.fromstring(junit_of_result(missed, regressed()))
    for element in (root, root[0]):
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.get(attribute, "")) == len(list(root.iter(tag)))
        assert int(element.get("tests", "")) == len(list(root.iter("testcase")))


def test_a_regression_fails_and_names_the_operator() -> None:
    content = junit_of_measurement("net", measured(), Judgement(verdict=None, checks=()), regressed())
    found = cases(content)
    assert found["armopt.baseline: instructions"] == "failure"
    assert found["armopt.baseline: size"] == "passed"
    [failure, *_] = [
        each for each in xml.fromstring(content).iter("failure") if "instructions" in (each.get("message") or "")
    ]
    assert "new #1 FULLY_CONNECTED" in (failure.get("message") or "")


def test_a_comparison_that_gates_nothing_fails_nothing() -> None:
    found = cases(junit_of_measurement("net", measured(), Judgement(verdict=None, checks=()), regressed(None)))
    assert set(found.values()) == {"passed"}


def test_limits_of_a_measurement_are_cases() -> None:
    checks = (
        Check(criterion="latency", verdict="inconclusive", reason="it straddles"),
        Check(criterion="instructions", verdict="met", reason="within"),
    )
    found = cases(junit_of_measurement("net", measured(), Judgement(verdict="inconclusive", checks=checks)))
    assert found == {
        "armopt.measurement: net": "passed",
        "armopt.target: latency": "failure",
        "armopt.target: instructions": "passed",
    }


def hostile(result: Result, name: str) -> Result:
    nodes = tuple(node.model_copy(update={"path": name, "reason": name}) for node in result.nodes)
    changed = {"nodes": nodes, "model": name, "reason": name, "data": name, "device": name, "chosen": name}
    return result.model_copy(update=changed)


def is_well_behaved(content: bytes) -> bool:
    text = content.decode()
    harmful = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
    return not harmful.search(text) and len(content) < 500_000


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_leave_the_xml_whole(result: Result, name: str) -> None:
    operators = (side(0, name=name, kind=name, kernel=name), side(1, name=name, instructions=7_000))
    comparison = compare(emulated((side(0),), model=name), emulated(operators, model=name), 0.0)
    for content in (
        junit_of_result(hostile(result, name), comparison),
        junit_of_measurement(name, measured(runtime=name), Judgement(verdict=None, checks=()), comparison),
    ):
        root = xml.fromstring(content)
        assert is_well_behaved(content)
        assert {each.tag for each in root.iter()} <= {
            "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped", "system-out"
        }  # fmt: skip


@ONCE
@given(names)
def test_any_name_leaves_the_xml_whole(result: Result, name: str) -> None:
    content = junit_of_result(hostile(result, name))
    assert len(list(xml.fromstring(content).iter("testcase"))) == len(cases(junit_of_result(result)))
    assert is_well_behaved(content)

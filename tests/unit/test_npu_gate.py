from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from npu_figures import measured

from armopt.cli.target_options import read_target
from armopt.core.errors import UsageError
from armopt.core.gate import Observed, judge
from armopt.core.records import Metric
from armopt.core.target import Target

METRIC = Metric(name="accuracy")


def verdict(target: Target, **figures: object) -> tuple[str | None, str]:
    found = judge(target, Observed.by(measured(**figures)), METRIC)
    return found.verdict, found.reason


@given(limit=st.floats(0.01, 10), cycles=st.integers(1, 10**7))
def test_an_estimate_is_held_against_a_limit_by_its_own_figure(limit: float, cycles: int) -> None:
    found, reason = verdict(Target(max_latency_ms=limit), cycles=cycles)
    assert found == ("met" if cycles / 5e5 <= limit else "missed")
    assert "(estimated, error not known)" in reason


@pytest.mark.parametrize("demanded", ["modelled", "measured"])
def test_a_demand_for_better_evidence_refuses_an_estimate(demanded: str) -> None:
    target = Target.model_validate({"max_latency_ms": 100, "evidence": demanded})
    assert verdict(target) == ("inconclusive", f"latency is estimated, the target demands {demanded}")
    assert verdict(target.model_copy(update={"evidence": "estimated"}))[0] == "met"


def test_an_estimate_says_nothing_of_a_percentile() -> None:
    assert verdict(Target(max_latency_ms=9, percentile="p95"))[0] == "inconclusive"
    fallback = Target(max_latency_ms=9, percentile="p95", allow_fallback=True)
    assert verdict(fallback, fallback_ops=("SIN",))[0] == "inconclusive"


def test_operators_on_the_cpu_refuse_a_verdict_and_are_named() -> None:
    found, reason = verdict(Target(max_latency_ms=100), fallback_ops=("SIN", "QUANTIZE", "SIN"))
    assert found == "inconclusive"
    assert "the CPU runs 2 SIN, QUANTIZE" in reason and "--allow-fallback" in reason


def test_operators_on_the_cpu_can_be_allowed_and_are_still_named() -> None:
    found, reason = verdict(Target(max_latency_ms=2, allow_fallback=True), fallback_ops=("SIN",))
    assert found == "met"
    assert "the NPU's part alone, without SIN on the CPU" in reason
    assert verdict(Target(max_latency_ms=0.5, allow_fallback=True), fallback_ops=("SIN",))[0] == "missed"


def test_a_model_that_only_the_cpu_runs_is_never_fast() -> None:
    found, reason = verdict(Target(max_latency_ms=100, allow_fallback=True), cycles=0, fallback_ops=("CONV_2D",))
    assert found == "inconclusive" and "the CPU runs all operators (CONV_2D)" in reason


def test_memory_is_held_against_its_limits_to_the_byte() -> None:
    assert verdict(Target(max_sram_bytes=100_000, max_flash_bytes=60_000))[0] == "met"
    assert verdict(Target(max_sram_bytes=99_999)) == ("missed", "100,000 bytes of SRAM over 99,999")
    assert verdict(Target(max_flash_bytes=59_999)) == ("missed", "60,000 bytes of flash over 59,999")


def test_memory_that_is_not_known_is_inconclusive() -> None:
    assert verdict(Target(max_flash_bytes=10**9), flash_bytes=None)[0] == "inconclusive"
    on_a_cpu = judge(Target(max_sram_bytes=10**9), Observed(), METRIC)
    assert on_a_cpu.verdict == "inconclusive"


def test_limits_on_memory_are_written_like_sizes_and_are_limits() -> None:
    target = read_target({"max_sram": "256KiB", "max_flash": "1MB", "allow_fallback": True})
    assert (target.max_sram_bytes, target.max_flash_bytes, target.allow_fallback) == (262_144, 1_000_000, True)
    assert not target.is_empty and target.limits_cost
    assert target.describe() == "at most 262,144 bytes of SRAM, at most 1,000,000 bytes of flash"
    assert read_target({"allow_fallback": True}).is_empty
    with pytest.raises(UsageError, match="--max-sram: 'much'"):
        read_target({"max_sram": "much"})

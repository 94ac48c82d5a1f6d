from __future__ import annotations

import pytest
from npu_figures import KIND, measured

from armopt.catalog.devices import find_kind
from armopt.catalog.profiles import find_profile
from armopt.core.target import Target
from armopt.search.drafts import NPU_MARGIN, known_interval, speed_path, why_too_slow
from armopt.search.outlook import _figures, _load
from armopt.search.prospects import felt_stages, why_hopeless

MS = Target(max_latency_ms=1.0)
felt = felt_stages(KIND)


def test_an_npu_feels_zeros_and_codes_and_a_cpu_does_not() -> None:
    assert {"prune", "cluster"} == felt
    assert felt_stages(find_kind("pi4")) == set()


@pytest.mark.parametrize(
    ("path", "draft"),
    [
        ("ptq", "ptq"),
        ("qat", "ptq"),
        ("prune/pqat", "prune/ptq"),
        ("prune/cluster/pcqat", "prune/cluster/ptq"),
        ("channels/cluster/cqat", "channels/cluster/ptq"),
    ],
)
def test_a_draft_keeps_the_stages_that_are_felt(path: str, draft: str) -> None:
    assert speed_path(path, felt) == draft


def test_a_draft_that_is_nearly_fast_enough_is_given_a_chance() -> None:
    assert why_too_slow(measured(cycles=500_000), MS) is None
    assert why_too_slow(measured(cycles=int(500_000 / (1 - NPU_MARGIN))), MS) is None
    assert "1.2 ms (estimated) before any training, over 1 ms" in str(why_too_slow(measured(cycles=600_000), MS))


def test_memory_is_known_before_training_too() -> None:
    assert "100,000 bytes of SRAM" in str(why_too_slow(measured(), Target(max_sram_bytes=90_000)))
    assert "60,000 bytes of flash" in str(why_too_slow(measured(), Target(max_flash_bytes=50_000)))
    assert why_too_slow(measured(flash_bytes=None), Target(max_flash_bytes=50_000)) is None


def test_nothing_is_trained_where_operators_are_left_to_the_cpu_and_a_latency_is_asked_for() -> None:
    left = measured(fallback_ops=("SIN", "SIN"))
    assert "leaves 2 SIN to the CPU" in str(why_too_slow(left, MS))
    assert why_too_slow(left, Target(max_flash_bytes=60_000)) is None
    allowed = MS.model_copy(update={"allow_fallback": True})
    assert why_too_slow(left, allowed) is None
    assert known_interval(left, MS) is None and known_interval(left, allowed) == (1.0, 1.0)
    assert "to the CPU" in str(why_too_slow(measured(cycles=0, fallback_ops=("CONV_2D",)), allowed))


def test_the_worst_of_latency_and_memory_settles_the_width() -> None:
    target = Target(max_latency_ms=2.0, max_sram_bytes=50_000, max_flash_bytes=60_000)
    assert _load(measured(), target) == pytest.approx(2.0, rel=0.01)
    told = _figures(measured(), target)
    assert "1 ms (estimated) for 2 ms" in told and "100,000 bytes of SRAM for 50,000" in told
    assert _load(measured(fallback_ops=("SIN",)), MS) == float("inf")


def test_channels_join_the_tree_under_a_limit_on_memory() -> None:
    assert "channels/ptq" in find_profile("default").under(Target(max_sram_bytes=1)).tree
    assert "channels/ptq" not in find_profile("default").under(Target(max_gz_bytes=1)).tree


def test_leaves_that_can_help_are_not_skipped_on_an_npu() -> None:
    trains = frozenset({"prune", "cluster", "qat", "pqat"})
    for criterion in ("latency", "flash", "sram", "size"):
        assert why_hopeless(KIND, "prune/pqat", frozenset({criterion}), trains) is None
        assert why_hopeless(KIND, "qat", frozenset({criterion}), trains) is not None

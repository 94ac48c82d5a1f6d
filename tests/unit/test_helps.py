from __future__ import annotations

import pytest

from armopt.catalog.devices import find_device
from armopt.core.errors import UsageError
from armopt.latency.helps import helps, why_not

PI4 = find_device("pi4")


@pytest.mark.parametrize("stage", ["prune", "cluster"])
def test_zeros_and_few_values_help_size_but_not_latency_on_a_cortex_a(stage: str) -> None:
    assert helps(PI4, stage) == {"size"}
    assert "shrink the compressed file" in why_not(PI4, stage)


def test_plain_quantization_is_the_yardstick_and_helps_nothing_beyond_itself() -> None:
    assert helps(PI4, "ptq") == set()


@pytest.mark.parametrize("stage", ["qat", "pqat", "cqat", "pcqat"])
def test_quantization_aware_training_can_only_win_back_accuracy(stage: str) -> None:
    assert helps(PI4, stage) == {"accuracy"}
    assert "only win back accuracy" in why_not(PI4, stage)


def test_a_stage_that_nobody_judged_is_refused() -> None:
    with pytest.raises(UsageError, match="'distil'"):
        helps(PI4, "distil")

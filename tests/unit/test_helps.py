from __future__ import annotations

import pytest

from armopt.catalog.devices import find_device
from armopt.core.errors import UsageError
from armopt.core.stages import FACTS
from armopt.latency.helps import CRITERIA, FAMILIES, helps, why_not

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


@pytest.mark.parametrize("stage", ["prune", "cluster"])
def test_zeros_and_few_codes_move_traffic_and_with_it_latency_on_an_ethos_u(stage: str) -> None:
    assert helps("ethos-u", stage) == {"size", "traffic", "latency", "sram", "flash"}
    assert "where reading weights binds" in why_not("ethos-u", stage)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_stage_of_every_tree_has_an_answer_in_every_family(family: str) -> None:
    for stage in FACTS:
        assert helps(family, stage) <= CRITERIA
        assert why_not(family, stage) and not why_not(family, stage).endswith(".")


def test_float_leaves_are_no_use_to_a_processor_of_integers() -> None:
    assert helps("ethos-u", "float16") == helps("ethos-u", "dynamic") == helps("ethos-u", "sparse") == set()


def test_what_half_precision_is_good_for_depends_on_the_core() -> None:
    assert "its cores have no half precision" in why_not(PI4, "float16")
    assert "computed in half precision" in why_not(find_device("pi5"), "float16")


def test_skipping_zeros_saves_instructions_only_where_int8_has_no_dot_product() -> None:
    assert "instructions" in helps(PI4, "sparse") and "instructions" not in helps(find_device("pi5"), "sparse")
    assert "dot products" in why_not(find_device("pi5"), "sparse")
    assert "latency" in helps(PI4, "sparse") and "only a board can tell" in why_not(PI4, "sparse")


def test_a_family_that_nobody_judged_is_refused() -> None:
    with pytest.raises(UsageError, match="'mips'; known: cortex-a, ethos-u"):
        helps("mips", "prune")

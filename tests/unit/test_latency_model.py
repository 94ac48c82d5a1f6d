from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.catalog.devices import find_device, find_kind, list_devices
from armopt.core.calibration import Calibration, choose
from armopt.core.counts import Counts
from armopt.core.decode import instruction_class
from armopt.core.device import BoardKind
from armopt.latency.features import features_of
from armopt.latency.model import predict, predict_from

PI4, PI5 = find_device("pi4"), find_device("pi5")
# One instruction word of each class that these tests use.
WORDS = {
    "fp_mac": 0x4E22CC20, "load_vector_128": 0x3DC00020, "load": 0xF9400020, "store": 0xF9000020,
    "integer": 0x8B020020, "branch": 0xD65F03C0, "permute": 0x4E023820, "int_mac_long": 0x0E228020,
}  # fmt: skip
GEMM, DEPTHWISE, ADD = "xnn_f32_gemm_minmax", "xnn_f32_dwconv_minmax", "tflite::ops::builtin::add::EvalAdd"


def counts(executions: int = 100_000, function: str = GEMM, misses: int = 0, lines: int = 0, **block: int) -> Counts:
    """One operator that runs one block."""
    words = b"".join(WORDS[name].to_bytes(4, "little") * number for name, number in block.items())
    traffic = np.array([[[misses, 0], [lines, 0]]])
    return Counts((words,), (function,), ("xnnpack",), np.array([[executions]]), np.zeros((1, 2), np.int64), traffic)


def with_terms(board: BoardKind, **terms: Any) -> BoardKind:
    """The board with one calibration that holds for all, its terms 1 where not told."""
    values: dict[str, Any] = {
        "matrix": 1, "parallel": 1, "serial": 1, "im2col": 1, "miss_ns": 1, "line": 1, "operator_us": 0,
        "kernels": "xnnpack", "threads": (1, 64), "low": 0.9, "high": 1.1, "rows": 9, "source": "-",
        "interval_source": "made up",
    }  # fmt: skip
    core = board.core.model_copy(update={"calibrations": (Calibration(**values | terms),), "scheduler": None})
    return board.model_copy(update={"core": core})


UNIT = with_terms(PI4)
names = st.sampled_from(sorted(WORDS))


def test_the_words_are_of_the_classes_that_they_stand_for() -> None:
    assert {name: instruction_class(word) for name, word in WORDS.items()} == {name: name for name in WORDS}


@given(st.dictionaries(names, st.integers(1, 20), min_size=1), st.integers(1, 10**6))
def test_twice_the_executions_take_twice_the_time(block: dict[str, int], executions: int) -> None:
    once, twice = (predict(counts(n * executions, **block), UNIT).p50_ms for n in (1, 2))
    assert twice == pytest.approx(2 * once)


def test_the_parts_add_up() -> None:
    found = predict(counts(fp_mac=10, misses=1000, lines=500), with_terms(PI4, operator_us=3))
    assert found.parts.total.sum() == pytest.approx(found.p50_ms)
    assert all(part.sum() > 0 for part in (found.parts.core, found.parts.cache, found.parts.memory))
    assert found.parts.overhead.sum() == pytest.approx(0.003)


def test_lines_from_memory_take_what_the_copy_rate_says() -> None:
    without, with_lines = (predict(counts(fp_mac=10, lines=lines), UNIT) for lines in (0, 10**6))
    assert with_lines.p50_ms - without.p50_ms == pytest.approx(64e6 / (2 * PI4.memory.copy_gb_s * 1e6))


def test_a_faster_clock_shortens_the_core_part_only() -> None:
    slow, fast = (predict(counts(fp_mac=10, lines=1000), UNIT, freq_mhz=freq) for freq in (900, 1800))
    assert slow.parts.core == pytest.approx(2 * fast.parts.core)
    assert slow.parts.memory == pytest.approx(fast.parts.memory)


@pytest.mark.parametrize(("function", "speedup"), [(GEMM, 4), (DEPTHWISE, 4), (ADD, 1)])
def test_threads_share_what_all_of_them_run(function: str, speedup: int) -> None:
    one, four = (predict(counts(function=function, fp_mac=10), UNIT, threads=threads) for threads in (1, 4))
    assert one.p50_ms == pytest.approx(speedup * four.p50_ms)


def test_more_threads_than_cores_help_no_more() -> None:
    four, many = (predict(counts(fp_mac=10), UNIT, threads=threads) for threads in (4, 16))
    assert four.p50_ms == many.p50_ms


def test_lines_cross_as_fast_as_the_cores_together_can_copy() -> None:
    def memory_ms(board: BoardKind, threads: int) -> float:
        return float(predict(counts(fp_mac=10, lines=10**6), board, threads=threads).parts.memory.sum())

    assert memory_ms(UNIT, 4) == pytest.approx(memory_ms(UNIT, 1))  # one core of a Raspberry Pi 4 reaches it all
    wide = UNIT.model_copy(update={"memory": UNIT.memory.model_copy(update={"shared_copy_gb_s": 7.0})})
    assert memory_ms(wide, 2) == pytest.approx(memory_ms(wide, 1) / 2)
    assert memory_ms(wide, 4) == pytest.approx(memory_ms(wide, 1) * UNIT.memory.copy_gb_s / 7.0)


def test_cycles_are_those_of_the_clock_that_was_asked_for() -> None:
    found = predict(counts(fp_mac=10), UNIT, freq_mhz=1000)
    assert found.cycles == pytest.approx(found.p50_ms * 1e6)


def test_the_nearest_calibration_is_chosen() -> None:
    one, four, own, whole = (
        with_terms(PI4, **terms).calibrations[0]
        for terms in (
            {"threads": (1, 1)}, {"threads": (2, 4)}, {"kernels": "builtin"},
            {"kernels": "builtin", "numbers": ("integer",)},
        )
    )  # fmt: skip
    known = (one, four, own, whole)
    assert choose(known, "xnnpack", "float", 1) is one
    assert choose(known, "xnnpack", "integer", 3) is four
    assert choose(known, "xnnpack", "float", 12) is four
    assert choose(known, "builtin", "float", 4) is own
    assert choose(known[:2], "builtin", "float", 1) is one


def test_the_interval_widens_and_says_so_where_nothing_was_fitted() -> None:
    fitted = with_terms(PI4, threads=(1, 1))
    one, four = (predict_from(features_of(counts(fp_mac=10), fitted), fitted, threads=n) for n in (1, 4))
    assert one.interval_ms == pytest.approx((0.9 * one.p50_ms, 1.1 * one.p50_ms))
    assert four.interval_ms[1] / four.p50_ms > 1.2 and "4 threads" in four.interval_source
    other = with_terms(PI4, kernels="builtin")
    assert "builtin" in predict(counts(fp_mac=10), other).interval_source


@pytest.mark.parametrize("name", [name for name in list_devices() if isinstance(find_kind(name), BoardKind)])
def test_every_board_kind_has_a_prediction_inside_its_interval(name: str) -> None:
    board = find_device(name)
    for threads in (1, 4):
        found = predict(counts(fp_mac=16, load_vector_128=4, misses=100, lines=10), board, threads=threads)
        assert 0 < found.interval_ms[0] < found.p50_ms < found.interval_ms[1]


def test_what_multiplies_integers_is_told_from_what_multiplies_floats() -> None:
    assert features_of(counts(fp_mac=10, int_mac_long=1), PI4).numbers == "float"
    assert features_of(counts(int_mac_long=10), PI4).numbers == "integer"

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.catalog.devices import find_device
from armopt.core.counts import Counts
from armopt.core.decode import instruction_class
from armopt.latency.model import core_cycles, predict

PI4, PI5 = find_device("pi4"), find_device("pi5")


# One instruction word of each class that these tests use.
WORDS = {
    "fp_mac": 0x4E22CC20, "load_vector_128": 0x3DC00020, "load": 0xF9400020, "store": 0xF9000020,
    "integer": 0x8B020020, "branch": 0xD65F03C0, "permute": 0x4E023820, "int_mac_long": 0x0E228020,
}  # fmt: skip


def counts(executions: int = 1000, memory_reads: int = 0, **block: int) -> Counts:
    words = b"".join(WORDS[name].to_bytes(4, "little") * number for name, number in block.items())
    lines = np.array([[[0, 0], [memory_reads, 0]]])
    return Counts((words,), ("",), ("",), np.array([[executions]]), np.zeros((1, 2), np.int64), lines)


names = st.sampled_from(sorted(WORDS))


def test_the_words_are_of_the_classes_that_they_stand_for() -> None:
    assert {name: instruction_class(word) for name, word in WORDS.items()} == {name: name for name in WORDS}


@given(st.dictionaries(names, st.integers(1, 50), min_size=1), names, st.integers(1, 10**6))
def test_one_more_instruction_never_makes_it_faster(block: dict[str, int], extra: str, executions: int) -> None:
    more = block | {extra: block.get(extra, 0) + 1}
    assert core_cycles(counts(executions, **more), PI4.core) >= core_cycles(counts(executions, **block), PI4.core)


@given(st.dictionaries(names, st.integers(1, 50), min_size=1), st.integers(1, 10**6))
def test_twice_the_executions_take_twice_the_cycles(block: dict[str, int], executions: int) -> None:
    once, twice = (core_cycles(counts(n * executions, **block), PI5.core) for n in (1, 2))
    assert twice == pytest.approx(2 * once)


def test_a_block_costs_what_its_busiest_unit_needs() -> None:
    # 16 vector multiply-adds at one per cycle hide 4 loads at one per cycle
    assert core_cycles(counts(1, fp_mac=16, load_vector_128=4), PI4.core) == pytest.approx(16)
    assert core_cycles(counts(1, fp_mac=16, load_vector_128=20), PI4.core) == pytest.approx(20)


def test_loads_and_stores_share_a_pipe_on_a_cortex_a53() -> None:
    pi3 = find_device("pi3")
    assert core_cycles(counts(1, load=4, store=4), pi3.core) == pytest.approx(8)
    assert core_cycles(counts(1, load=4, store=4), PI4.core) == pytest.approx(4)


def test_issue_width_bounds_a_block() -> None:
    assert core_cycles(counts(1, integer=3, load=3, branch=1, fp_mac=3), PI4.core) == pytest.approx(10 / 3)


def test_memory_traffic_adds_time() -> None:
    without, with_traffic = (predict(counts(fp_mac=10, memory_reads=lines), PI4) for lines in (0, 10**6))
    # 64 MB at twice the copy rate
    added = with_traffic.p50_ms - without.p50_ms
    assert added == pytest.approx(64e6 / (2 * PI4.memory.copy_gb_s * 1e6))


def test_a_faster_clock_shortens_the_core_part_only() -> None:
    slow, fast = (predict(counts(fp_mac=10, memory_reads=1000), PI4, freq_mhz=freq) for freq in (900, 1800))
    assert slow.parts.core == pytest.approx(2 * fast.parts.core)
    assert slow.parts.memory == pytest.approx(fast.parts.memory)


def test_the_interval_holds_the_prediction_and_widens_with_threads() -> None:
    one, four = (predict(counts(fp_mac=10), PI4, threads=threads) for threads in (1, 4))
    assert one.interval_ms[0] < one.p50_ms < one.interval_ms[1]
    assert four.p50_ms < one.p50_ms
    assert four.interval_ms[1] / four.p50_ms > one.interval_ms[1] / one.p50_ms
    assert "threads" in four.interval_source


def test_boards_without_published_rows_have_wider_intervals() -> None:
    def width(name: str) -> float:
        fitted = find_device(name).fitted
        return fitted.high / fitted.low

    assert width("pi4") < width("jetson-nano") < width("pi3") <= width("zero2w")

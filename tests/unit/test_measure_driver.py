from __future__ import annotations

import os
from pathlib import Path

import pytest

from armopt.catalog.devices import find_device
from armopt.runners import measure

A76, A55 = (0x41, 0xD0B), (0x41, 0xD05)


def test_the_parts_are_read_as_an_arm_kernel_prints_them() -> None:
    kind = find_device("pi4")
    assert measure.parse_cpuinfo(kind.cpuinfo()) == dict.fromkeys(range(4), (0x41, 0xD08))


@pytest.mark.parametrize("text", ["", "processor : 0\nvendor_id : GenuineIntel\n", "processor : x\nCPU part : y\n\n\n"])
def test_other_kernels_tell_no_parts(text: str) -> None:
    assert measure.parse_cpuinfo(text) == {}


def test_only_cores_of_the_wanted_kind_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    seen = dict.fromkeys(range(4), A55) | dict.fromkeys(range(4, 8), A76)
    assert measure.usable_cpus(seen, A76) == [4, 5, 6, 7]
    assert measure.usable_cpus(seen, (0x41, 0xD08)) == list(range(8))  # refused later, where the reason can be told
    assert measure.usable_cpus({}, A76) == list(range(8))


def test_a_kernel_that_tells_no_clock_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "CPUS", tmp_path)
    assert measure.clocks_mhz([0, 1]) is None
    for cpu, clock in ((0, "600000\n"), (1, "1500000\n")):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(clock)
    assert measure.clocks_mhz([0, 1, 2]) == 1500

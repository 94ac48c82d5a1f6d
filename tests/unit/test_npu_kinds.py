from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path
from typing import get_args

import pytest
from npu_figures import KIND

from armopt.catalog.devices import find_device, find_kind, list_devices
from armopt.core.errors import UsageError
from armopt.core.npu import Accelerator, NpuKind
from armopt.placing import NpuPlace, Place, find_boards, find_place
from armopt.runners.ethosu import configs
from armopt.runners.ethosu.configs import Memories, memories_of, with_ini

NPUS = [kind for kind in map(find_kind, list_devices()) if isinstance(kind, NpuKind)]
SYSTEM = "[System_Config.Mine]\ncore_clock=400e6\naxi0_port=Sram\naxi1_port=OffChipFlash\n"
MODE = "[Memory_Mode.Shared]\nconst_mem_area=Axi1\narena_mem_area=Axi0\ncache_mem_area=Axi0\n"


def written(folder: Path, text: str, name: str = "vela.ini") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_there_is_a_kind_for_every_accelerator_that_vela_knows() -> None:
    assert {kind.npu.accelerator for kind in NPUS} == set(get_args(Accelerator))
    assert all(kind.name == kind.npu.accelerator for kind in NPUS)
    assert all(kind.npu.macs == int(kind.name.rpartition("-")[2]) for kind in NPUS)
    assert all(len(source) > 40 for kind in NPUS for source in (kind.npu.source, kind.system.source))


@pytest.mark.parametrize("kind", NPUS, ids=lambda kind: kind.name)
def test_clock_and_memories_are_those_of_velas_own_file(kind: NpuKind) -> None:
    found = memories_of(kind.system)
    flash = kind.name.startswith("ethos-u55")
    assert found == (Memories("OffChipFlash", "Sram") if flash else Memories("Dram", "Dram"))
    ini = ConfigParser()
    ini.read(configs._shipped())
    mode = ini[f"Memory_Mode.{kind.system.memory_mode}"]
    assert int(mode.get("arena_cache_size", str(2 << 20))) == kind.system.arena_limit_bytes


def test_a_board_is_no_npu_and_an_npu_is_no_board() -> None:
    assert not isinstance(find_kind("pi4"), NpuKind)
    with pytest.raises(UsageError, match="is an NPU, not a board"):
        find_device("ethos-u55-128")
    with pytest.raises(UsageError, match="is an NPU"):
        find_boards("ethos-u55-128", None, False)


def test_an_npu_is_a_place_where_nothing_runs() -> None:
    place = find_place("ethos-u55-128", None, False)
    assert isinstance(place, NpuPlace) and not place.hosts and "nothing runs" in place.why
    assert isinstance(find_place("pi4", None, True), Place)
    with pytest.raises(UsageError, match="not emulated"):
        find_place("ethos-u55-128", None, True)
    with pytest.raises(UsageError, match="--vela-ini describes the system around an Ethos-U"):
        find_place("pi4", None, True, "vela.ini")


def test_a_file_of_ones_own_names_the_system_its_clock_and_its_arena(tmp_path: Path) -> None:
    path = written(tmp_path, f"{SYSTEM}{MODE}arena_cache_size=131072\n")
    system = with_ini(KIND, path).system
    assert (system.system_config, system.memory_mode, system.clock_mhz) == ("Mine", "Shared", 400)
    assert system.arena_limit_bytes == 131072
    assert system.vela_ini == str(path)
    assert memories_of(system) == Memories("OffChipFlash", "Sram")
    # What it says nothing of stays.
    assert with_ini(KIND, written(tmp_path, SYSTEM + MODE)).system.arena_limit_bytes == KIND.system.arena_limit_bytes


def test_of_several_sections_the_one_called_as_the_kinds_own_is_meant(tmp_path: Path) -> None:
    own = SYSTEM.replace("Mine", KIND.system.system_config)
    assert with_ini(KIND, written(tmp_path, SYSTEM + own + MODE)).system.system_config == KIND.system.system_config
    with pytest.raises(UsageError, match="has 2 sections System_Config"):
        with_ini(KIND, written(tmp_path, SYSTEM + SYSTEM.replace("Mine", "Yours") + MODE))
    with pytest.raises(UsageError, match="has 0 sections Memory_Mode"):
        with_ini(KIND, written(tmp_path, SYSTEM))


def test_modes_inherit_and_a_circle_is_told(tmp_path: Path) -> None:
    child = "[Memory_Mode.Child]\ninherit=Memory_Mode.Shared\narena_cache_size=65536\n"
    path = written(tmp_path, SYSTEM + MODE + child)
    system = KIND.system.model_copy(
        update={"vela_ini": str(path), "system_config": "Mine", "memory_mode": "Child", "clock_mhz": 400.0}
    )
    assert memories_of(system) == Memories("OffChipFlash", "Sram")
    written(tmp_path, SYSTEM + "[Memory_Mode.Child]\ninherit=Memory_Mode.Child\n")
    with pytest.raises(UsageError, match=r"no section Memory_Mode\.Child"):
        memories_of(system)


def test_another_clock_than_the_files_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, SYSTEM + MODE)
    system = with_ini(KIND, path).system.model_copy(update={"clock_mhz": 500.0})
    with pytest.raises(UsageError, match=r"the clock is 500 MHz, but Mine in .* has 400 MHz"):
        memories_of(system)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no section\n", "is no vela.ini"),
        ("[System_Config.Mine]\naxi0_port=Sram\n" + MODE, "has no core_clock"),
        (SYSTEM.replace("400e6", "fast") + MODE, "has no core_clock"),
        (SYSTEM.replace("400e6", "-1") + MODE, "is no clock"),
        (SYSTEM.replace("400e6", "%(nothing)s") + MODE, "vela.ini"),
        (f"{SYSTEM}{MODE}arena_cache_size=much\n", "no number of bytes"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_ini(KIND, written(tmp_path, text))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_has_another_ending_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        with_ini(KIND, tmp_path / "none.ini")
    with pytest.raises(UsageError, match=r"not called \.ini"):
        with_ini(KIND, written(tmp_path, SYSTEM + MODE, "vela.txt"))

from __future__ import annotations

from pathlib import Path

import pytest
from npu_figures import database

from armopt.core.errors import DeviceError
from armopt.runners.ethosu.configs import Memories
from armopt.runners.ethosu.report import Report, read_report

FLASH = Memories("OffChipFlash", "Sram")
HOSTILE = 'a,"b";c]]>\n1,2,3,"Conv2D"\x1b[31m'

SUMMARY = {
    "sram_memory_used": "10.5", "dram_memory_used": "0.0", "on_chip_flash_memory_used": "0.0",
    "off_chip_flash_memory_used": "2.0", "total_original_weights": "900", "total_npu_encoded_weights": "300",
    "sram_total_bytes": "7000", "dram_total_bytes": "0", "on_chip_flash_total_bytes": "0",
    "off_chip_flash_total_bytes": "310", "nn_macs": "12800", "cycles_npu": "120", "cycles_sram_access": "80",
    "cycles_dram_access": "0", "cycles_on_chip_flash_access": "0", "cycles_off_chip_flash_access": "310",
    "cycles_total": "330",
}  # fmt: skip
PERF = ("id", "source_id", "optimised_id", "operator", "name", "staging_usage", "op_cycles", "npu_cycles", "mac_count")
DEBUG = (
    "id", "weight_total_bytes", "weight_transfer_cycles", "SramFeatureMap_ac", "SramFeatureMap_read", "SramWeights_ac",
    "OffChipFlashWeights_ac", "OffChipFlashScales_ac",
)  # fmt: skip
TABLES = {
    "perf_debug": (DEBUG, [[7, 300, "", 80, 7000, "", 300, 10], [8, "", "", 4, 9, "", "", ""], [9] + [""] * 7]),
    "perf": ((*PERF, "Sram_ac"), [
        [7, 1, 5, "Conv2D", HOSTILE, 64, 310, 120, 12800, 80],
        [8, 1, 6, "Relu", "plain", 0, 0, 0, 0, 0],
        [9, 2, 6, "Passthrough", "out", 0, 20, 0, 0, 0],
    ]),
    "perf_debug_main": (("id", "mac_cycles", "ao_cycles"), [[7, 100, 90], [8, "", 3]]),
    "source": (("id", "operator", "ext_key"), [[1, "Conv2D", 4], [2, "Sin", 5]]),
}  # fmt: skip


def read(folder: Path, summary: dict[str, str] = SUMMARY, text: str | None = None, where: Memories = FLASH) -> Report:
    lines = (",".join(summary), ",".join(summary.values()))
    (folder / "model_summary_Mine.csv").write_text("\n".join(lines) + "\n")
    (folder / "model_debug.xml").write_text(database(TABLES) if text is None else text)
    return read_report(folder, "model", "Mine", where, "5.2.0")


def test_figures_of_the_whole_and_of_each_operation_are_read(tmp_path: Path) -> None:
    report = read(tmp_path)
    assert (report.cycles, report.macs) == (330, 12_800)
    assert (report.original_weight_bytes, report.encoded_weight_bytes) == (900, 300)
    assert (report.sram_bytes, report.flash_bytes, report.dram_bytes) == (10_752, 2_048, None)
    assert report.cycles_by_unit == {"npu": 120, "sram": 80, "dram": 0, "flash": 310}
    assert report.traffic_bytes == {"sram": 7000, "dram": 0, "flash": 310}
    convolution, relu, sine = report.operations
    assert (convolution.source, convolution.operation, convolution.kind) == (4, "Conv2D", "Conv2D")
    assert (convolution.cycles, convolution.mac_cycles, convolution.macs) == (310, 100, 12_800)
    # The slowest memory counts, weights and scales of it together; of activations the slower of moving and making.
    assert (convolution.weight_cycles, convolution.scale_cycles, convolution.activation_cycles) == (310, 10, 90)
    assert convolution.weight_bytes == 300 and not convolution.on_cpu
    assert relu.cycles == 0 and sine.on_cpu and sine.kind == "Sin"


def test_names_that_the_model_chose_break_no_row(tmp_path: Path) -> None:
    assert [operation.name for operation in read(tmp_path).operations] == [HOSTILE, "plain", "out"]


def test_a_transfer_that_is_hidden_still_takes_its_cycles(tmp_path: Path) -> None:
    rows = [[7, 300, 400, 80, 7000, "", 300, 10], *TABLES["perf_debug"][1][1:]]
    text = database({**TABLES, "perf_debug": (DEBUG, rows)})
    assert read(tmp_path, text=text).operations[0].weight_cycles == 400


def test_constants_in_sram_count_as_sram(tmp_path: Path) -> None:
    summary = {**SUMMARY, "on_chip_flash_memory_used": "4.0", "off_chip_flash_memory_used": "0.0"}
    report = read(tmp_path, summary, where=Memories("Sram", "Sram"))
    assert (report.sram_bytes, report.flash_bytes) == (14_848, 0)
    assert report.arena_area_bytes == 14_848 and report.constants_in_arena


def test_constants_in_dram_take_no_flash(tmp_path: Path) -> None:
    summary = {**SUMMARY, "dram_memory_used": "5.0", "off_chip_flash_memory_used": "0.0"}
    report = read(tmp_path, summary, where=Memories("Dram", "Dram"))
    assert (report.flash_bytes, report.dram_bytes, report.arena_area_bytes) == (None, 5_120, 5_120)


@pytest.mark.parametrize(
    "text",
    [
        "",
        database({name: table for name, table in TABLES.items() if name != "perf_debug_main"}),
        database({**TABLES, "perf_debug": (("id",), [[7], [8], [9]])}),
        database({**TABLES, "perf_debug": (DEBUG, [])}),
        database({**TABLES, "perf_debug_main": (("id", "mac_cycles", "ao_cycles"), [[7, "many", 1]])}),
    ],
)
def test_what_another_version_would_write_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeviceError, match=r"the report of Vela 5\.2\.0 can't be read") as caught:
        read(tmp_path, text=text)
    assert "\n" not in str(caught.value)


def test_a_summary_without_a_column_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cycles_total"):
        read(tmp_path, {name: value for name, value in SUMMARY.items() if name != "cycles_total"})

"""Reads what Vela writes beside a compiled model: its summary, and the performance tables of its debug database."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from armopt.core.errors import DeviceError
from armopt.core.npu_operation import NpuOperation
from armopt.runners.ethosu.configs import Memories

# Columns of the summary per memory, and what a user calls it.
_MEMORIES = {"sram": "Sram", "dram": "Dram", "on_chip_flash": "OnChipFlash", "off_chip_flash": "OffChipFlash"}
_KIB = 1024


@dataclass(frozen=True)
class Report:
    """An estimate of one inference.

    Attributes:
        cycles: in all.
        cycles_by_unit: npu, sram, dram, flash: how long each was at work.
        traffic_bytes: sram, dram, flash: bytes that cross each.
        sram_bytes, flash_bytes, dram_bytes: memory that the model takes; None: the system has none of that.
        arena_area_bytes: what lies in the memory that holds the activations, constants too if they lie there.
        constants_in_arena: whether they do.
        original_weight_bytes, encoded_weight_bytes: before and after compression.
        macs: in all.
        operations: what runs, in order.
    """

    cycles: int
    cycles_by_unit: dict[str, int]
    traffic_bytes: dict[str, int]
    sram_bytes: int
    flash_bytes: int | None
    dram_bytes: int | None
    arena_area_bytes: int
    constants_in_arena: bool
    original_weight_bytes: int
    encoded_weight_bytes: int
    macs: int
    operations: tuple[NpuOperation, ...]


def read_report(folder: Path, name: str, system_config: str, memories: Memories, version: str) -> Report:
    """Read the report on the model called `name` in the output folder.

    Raises:
        DeviceError: it is not what Vela 5.2 writes.
    """
    try:
        summary = _summary(folder / f"{name}_summary_{system_config}.csv")
        return _report(summary, _operations((folder / f"{name}_debug.xml").read_text(errors="replace")), memories)
    except (OSError, KeyError, ValueError, TypeError, StopIteration) as error:
        what = f"the report of Vela {version} can't be read: {type(error).__name__} {error}"
        raise DeviceError(what, "armopt knows that of 5.2: pip install 'armopt[ethos-u]'") from error


def _summary(path: Path) -> Mapping[str, str]:
    with path.open(newline="") as stream:
        return next(csv.DictReader(stream))


def _report(summary: Mapping[str, str], operations: tuple[NpuOperation, ...], memories: Memories) -> Report:
    used = {area: round(float(summary[f"{key}_memory_used"]) * _KIB) for key, area in _MEMORIES.items()}
    if memories.constants == "Sram":
        # Constants in SRAM are told as an on-chip flash with the SRAM's speed (architecture_features.py).
        used["Sram"], used["OnChipFlash"] = used["Sram"] + used["OnChipFlash"], 0
    flash = used["OnChipFlash"] + used["OffChipFlash"]
    cycles = {"npu": int(summary["cycles_npu"])}
    traffic: dict[str, int] = {}
    for key, unit in (("sram", "sram"), ("dram", "dram"), ("on_chip_flash", "flash"), ("off_chip_flash", "flash")):
        cycles[unit] = cycles.get(unit, 0) + int(summary[f"cycles_{key}_access"])
        traffic[unit] = traffic.get(unit, 0) + int(summary[f"{key}_total_bytes"])
    has_dram = "Dram" in (memories.constants, memories.arena)
    return Report(
        cycles=int(summary["cycles_total"]),
        cycles_by_unit=cycles,
        traffic_bytes=traffic,
        sram_bytes=used["Sram"],
        flash_bytes=None if memories.constants == "Dram" else flash,
        dram_bytes=used["Dram"] if has_dram else None,
        arena_area_bytes=used[memories.arena],
        constants_in_arena=memories.constants == memories.arena,
        original_weight_bytes=int(summary["total_original_weights"]),
        encoded_weight_bytes=int(summary["total_npu_encoded_weights"]),
        macs=int(summary["nn_macs"]),
        operations=operations,
    )


def _operations(database: str) -> tuple[NpuOperation, ...]:
    detail, units = ({row["id"]: row for row in _table(database, name)} for name in ("perf_debug", "perf_debug_main"))
    sources = {row["id"]: row for row in _table(database, "source")}
    return tuple(
        _operation(row, sources.get(row["source_id"], {}), detail[row["id"]], units.get(row["id"], {}))
        for row in _performance(database)
    )


def _operation(
    row: Mapping[str, str], source: Mapping[str, str], detail: Mapping[str, str], units: Mapping[str, str]
) -> NpuOperation:
    def most(purposes: str) -> int:
        """Cycles of the memory that these accesses keep busiest."""
        column = re.compile(rf"(.+?)(?:{purposes})_ac")
        by_memory: dict[str, int] = {}
        for name, value in detail.items():
            if match := column.fullmatch(name):
                by_memory[match[1]] = by_memory.get(match[1], 0) + _number(value)
        return max(by_memory.values(), default=0)

    return NpuOperation(
        source=int(source["ext_key"]) if source.get("ext_key", "").isdigit() else None,
        operation=row["operator"],
        kind=source.get("operator", row["operator"]),
        name=row["name"],
        cycles=int(row["op_cycles"]),
        mac_cycles=_number(units.get("mac_cycles")),
        weight_cycles=max(most("Weights|Scales"), _number(detail["weight_transfer_cycles"])),
        scale_cycles=most("Scales"),
        activation_cycles=max(most("FeatureMap|Lut"), _number(units.get("ao_cycles"))),
        macs=int(row["mac_count"]),
        weight_bytes=_number(detail["weight_total_bytes"]),
    )


def _number(text: str | None) -> int:
    return int(text) if text else 0


def _table(database: str, name: str) -> list[dict[str, str]]:
    """A table of numbers and of Vela's own words. KeyError where it is not there."""
    return list(csv.DictReader(_text(database, name).splitlines()))


def _performance(database: str) -> list[dict[str, str]]:
    """The table that holds names of the model's tensors, which may contain quotes and lines that Vela does not mark."""
    header, _, body = _text(database, "perf").partition("\n")
    columns = header.replace('"', "").split(",")
    after = len(columns) - columns.index("name") - 1
    rows = re.compile(rf'^(\d+),(\d+),(\d+),"(\w+)","(.*?)"((?:,\d+){{{after}}})$', re.MULTILINE | re.DOTALL)
    return [
        dict(zip(columns, (*match.group(1, 2, 3, 4, 5), *match[6][1:].split(",")), strict=True))
        for match in rows.finditer(body)
    ]


def _text(database: str, name: str) -> str:
    found = re.search(rf'^<table name="{name}">\n<!\[CDATA\[\n(.*?)^\]\]>$', database, re.MULTILINE | re.DOTALL)
    if found is None:
        raise KeyError(f"table {name}")
    return found[1]

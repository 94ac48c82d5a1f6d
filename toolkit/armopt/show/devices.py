"""The kinds of boards and NPUs as tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from armopt.core.device import BoardKind
from armopt.core.npu import NpuKind
from armopt.show.tables import plain_table
from armopt.show.text import clean


def devices_table(kinds: Sequence[BoardKind]) -> Table:
    """One row a board kind."""
    table = plain_table()
    table.add_column("device", no_wrap=True)
    table.add_column("board")
    table.add_column("CPU")
    table.add_column("ISA")
    table.add_column("emulated as")
    for kind in kinds:
        emulator = kind.core.emulator
        table.add_row(
            clean(kind.name) + (" (calibrated by you)" if kind.user_calibrations else ""),
            clean(kind.title),
            clean(f"{kind.cpu.cores}x {kind.core.title}, {kind.cpu.freq_mhz} MHz"),
            clean(kind.isa),
            emulator.cpu if emulator.exact else f"{emulator.cpu} (nearest)",
        )
    return table


def npus_table(kinds: Sequence[NpuKind]) -> Table:
    """One row a kind of NPU, which its compiler estimates."""
    table = plain_table()
    table.add_column("device", no_wrap=True)
    table.add_column("NPU")
    table.add_column("system configuration")
    table.add_column("memory mode")
    table.add_column("clock", justify="right", no_wrap=True)
    for kind in sorted(kinds, key=lambda kind: (kind.npu.accelerator.rpartition("-")[0], kind.npu.macs)):
        system = kind.system
        cells = (kind.name, kind.title, system.system_config, system.memory_mode, f"{system.clock_mhz:g} MHz")
        table.add_row(*map(clean, cells))
    return table

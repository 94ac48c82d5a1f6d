"""Published Arm latencies, joined with what the latency model sees of the same networks."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from latency_fit import Row
from published_counts import counts_of
from published_models import DTYPE_OF_ROW, MODELS, activations, macs

from armopt.catalog.devices import find_device
from armopt.core.counts import Counts
from armopt.latency.features import Features, features_of


@dataclass(frozen=True)
class Group:
    """Rows that were measured in one way: on one board, with one runtime, with so many threads.

    `kernels` are what `published_counts` counts for fp32; in 8 bits XNNPACK rows take the locked LiteRT's, since the
    wheel of 2023 leaves INT8 to kernels that were not the published ones.
    """

    title: str
    device: str  # as published.csv names it
    board: str
    kernels: str
    backend: str
    threads: int
    threads_told: str  # how the row's threads begin
    framework: str = ""
    freq_mhz: int | None = None  # None: the row's own

    def kernels_for(self, dtype: str) -> str:
        """What to count for a file of that type."""
        return "xnnpack" if self.kernels == "xnnpack-2023" and dtype != "fp32" else self.kernels


_ONE = ("xnnpack-2023", "xnnpack", 1, "1 (inferred")
ORIN = Group("Jetson AGX Orin", "Jetson AGX Orin", "jetson-orin", *_ONE)
GRAVITON3 = Group("Graviton3", "AWS m7g.2xlarge", "graviton3", *_ONE)
PI4 = Group("Raspberry Pi 4", "Raspberry Pi 4B", "pi4", *_ONE)
GRAVITON1 = Group("Graviton1", "AWS a1.2xlarge", "graviton1", *_ONE)
SINGLE = (ORIN, GRAVITON3, PI4, GRAVITON1)
RUY = {
    version: Group(
        f"Raspberry Pi 4, ruy, TFLite {version}", "Raspberry Pi 4B", "pi4", "builtin", "ruy", 4, "4", version
    )
    for version in ("v2.4.1", "v2.5.0", "v2.7.1")
}
XNNPACK_FOUR = tuple(
    Group(title, device, board, "xnnpack", "xnnpack", 4, "4", "XNNPACK end2end_bench")
    for title, device, board in (
        ("Raspberry Pi 4", "Raspberry Pi 4B", "pi4"), ("Raspberry Pi 3B+", "Raspberry Pi 3B+", "pi3")
    )
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """One figure."""

    model: str
    dtype: str
    latency_ms: float
    freq_mhz: float
    framework: str = ""


def published(group: Group, stats: Iterable[str] = ("p50",)) -> list[Published]:
    """The group's figures whose networks `published_models` can build."""
    source = Path(os.environ.get("ARMOPT_SHARED", "../shared")) / "latency" / "published.csv"
    with source.open(encoding="utf-8", newline="") as file:
        return [
            Published(
                row["model"],
                DTYPE_OF_ROW[row["dtype"]],
                float(row["latency_ms"]),
                float(row["freq_mhz"]),
                row["framework"],
            )
            for row in csv.DictReader(file)
            if row["device"] == group.device
            and row["kernel_backend"] == group.backend
            and row["threads"].startswith(group.threads_told)
            and group.framework in row["framework"]
            and any(row["stat"].startswith(stat) for stat in stats)
            and row["model"] in MODELS
        ]


def rows_of(group: Group, stats: Iterable[str] = ("p50",)) -> list[Row]:
    """The group's figures with the model's view of each network."""
    board = find_device(group.board)
    found = []
    for figure in published(group, stats):
        features = features_for(group.board, group.kernels_for(figure.dtype), figure.model, figure.dtype)
        freq = group.freq_mhz or round(figure.freq_mhz)
        units = features.design(board, threads=group.threads, freq_mhz=freq).sum(axis=0)
        found.append(
            Row(figure.model, MODELS[figure.model].family, figure.dtype, figure.latency_ms, tuple(map(float, units)))
        )
    return found


@cache
def features_for(board: str, kernels: str, model: str, dtype: str) -> Features:
    """The model's view of one network."""
    return features_of(counts_for(board, kernels, model, dtype), find_device(board))


def counts_for(board: str, kernels: str, model: str, dtype: str) -> Counts:
    """Counts of one network, made on first use."""
    return counts_of(find_device(board), kernels, [(model, dtype)])[model, dtype]


def plain_rows(group: Group, stats: Iterable[str] = ("p50",)) -> list[Row]:
    """The group's figures with what simpler predictors see, each scaled so that its coefficient is near 1.

    Units: MACs of float models, of 8-bit ones; activations of float models, of 8-bit ones; instructions; a constant.
    """
    found = []
    for figure in published(group, stats):
        instructions = counts_for(group.board, group.kernels_for(figure.dtype), figure.model, figure.dtype).instructions
        is_float = figure.dtype == "fp32"
        work, moved = macs(figure.model) * 1e-7, activations(figure.model) * 1e-6
        units = (work * is_float, work * (not is_float), moved * is_float, moved * (not is_float))
        units += (instructions * 1e-6, 1.0)
        found.append(Row(figure.model, MODELS[figure.model].family, figure.dtype, figure.latency_ms, units))
    return found

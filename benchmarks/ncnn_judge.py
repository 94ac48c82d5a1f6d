"""The second judge: ncnn's published times of other kernels on the same cores, above all what four threads gain.

    ARMOPT_SHARED=../shared python benchmarks/ncnn_judge.py [BOARD ...]      # tables in Markdown

Nothing of the latency model is fitted here but the one coefficient of cores that have no other figures (Cortex-A53,
A55, A57), with one thread. Counts that are missing are made (about five minutes a board); vgg16 and vision_transformer
are left out, for they take as long as all others.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from latency_fit import Array, Row, by_model, left_out, told
from latency_shapes import shape_of
from ncnn_models import BOARDS, INPUTS, board_kind, count, layers, published
from numpy.typing import NDArray

from armopt.catalog.devices import find_core, find_device
from armopt.core.calibration import Calibration, Numbers, Terms, choose
from armopt.core.device import BoardKind
from armopt.latency.features import Features, features_of
from armopt.runners.qemu.counts import read_counts

# One board for each core that publishes one and four threads; the Raspberry Pis' and RK3568's own memory is known.
JUDGES = ("pi3", "rk3568-p2", "snapdragon810-big", "pi4", "pi5", "orin")
MODELS = tuple(name for name in INPUTS if not name.startswith(("vgg16", "vision_transformer")))
_MATRIX_LAYERS = ("Convolution", "InnerProduct", "Deconvolution", "Convolution1D", "Gemm")
# GB/s that one core copies (judgements: these boards' were not looked up), and all together: 72% of what the pins carry
# (LPDDR4-3120 at 32 bits, LPDDR4-3200 at 64), halved for a copy, as in the device files.
_COPY_GB_S = {"rk3568-p2": (3.0, 4.5), "snapdragon810-big": (5.0, 9.2)}
_ELEMENTWISE = {"mobilenet_v3", "efficientnet_b0", "efficientnetv2_b0", "mnasnet"}


@dataclass(frozen=True)
class Timed:
    """A model on a board: published ms by threads, and the latency model's view of what one thread executed."""

    model: str
    published_ms: dict[int, float]
    features: Features


@cache
def kind_of(board: str) -> BoardKind:
    """The board with its core's timings and calibrations, and its own memory where it is known."""
    kind = board_kind(BOARDS[board])
    memory = find_device({"pi3": "pi3", "pi4": "pi4", "pi5": "pi5", "orin": "jetson-orin"}.get(board, "pi4")).memory
    if board in _COPY_GB_S:
        one, together = _COPY_GB_S[board]
        memory = memory.model_copy(update={"copy_gb_s": one, "shared_copy_gb_s": together})
    return kind.model_copy(update={"core": find_core(BOARDS[board].core), "memory": memory})


def timed(board: str, models: Sequence[str] = MODELS) -> list[Timed]:
    """All models of a board that have figures of one thread; counted where they were not yet."""
    figures = published(BOARDS[board])
    found = []
    for model in models:
        if model in figures[1]:
            by_threads = {threads: rows[model] for threads, rows in figures.items() if model in rows}
            found.append(Timed(model, by_threads, _features(board, model)))
    return found


@cache
def _features(board: str, model: str) -> Features:
    """Ncnn's library names no function: a layer's kind says whether it multiplies matrices; all layers are shared."""
    dump, kind = count(model, board), kind_of(board)
    counts = read_counts(dump)
    found = features_of(counts, kind)
    cycles, is_matrix = found.cycles.copy(), np.zeros(len(counts.starts), bool)
    for index, (layer, _) in enumerate(layers(dump), start=1):
        is_matrix[index] = layer in _MATRIX_LAYERS
    cycles[0] = 0  # the caller's
    nothing: NDArray[np.float64] = np.zeros(len(cycles))
    return replace(
        found, matrix=np.where(is_matrix, cycles, 0), parallel=np.where(is_matrix, 0, cycles), serial=nothing,
        im2col=nothing, operators=np.array([0.0] + [1.0] * (len(cycles) - 1)),
    )  # fmt: skip


def predicted(one: Timed, kind: BoardKind, threads: int) -> float:
    """Ms by the calibrations of LiteRT's XNNPACK kernels on that core."""
    calibration = choose(kind.calibrations, "xnnpack", _numbers(one), threads)
    design = one.features.design(kind, threads=threads, freq_mhz=kind.cpu.freq_mhz).sum(axis=0)
    return float(design @ _terms(calibration))


def _terms(calibration: Calibration) -> Array:
    return np.array([getattr(calibration, name) for name in Terms.model_fields])


def _numbers(one: Timed) -> Numbers:
    return "integer" if one.model.endswith("_int8") else "float"


def one_thread_rows(board: str) -> list[Row]:
    """The board's one-thread figures as rows to fit on; each network is a family of its own."""
    kind, rows = kind_of(board), []
    for one in timed(board):
        units = one.features.design(kind, threads=1, freq_mhz=kind.cpu.freq_mhz).sum(axis=0)
        dtype = "int8" if _numbers(one) == "integer" else "fp32"
        rows.append(Row(one.model, one.model, dtype, one.published_ms[1], tuple(map(float, units))))
    return rows


def lines_table(boards: Sequence[str]) -> str:
    """What lines from memory explain with one thread: terms fitted on float networks, one left out at a time."""
    forms = [shape_of("cycles", "misses"), shape_of("cycles", "misses", "lines")]
    lines = ["| board | float networks | cycles, misses | cycles, misses, lines |", "|---|---|---|---|"]
    for board in boards:
        rows = [row for row in one_thread_rows(board) if row.dtype == "fp32"]
        cells = [told(left_out(form, rows, by_model)) for form in forms]
        lines.append(f"| {board} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratios_table(boards: Sequence[str]) -> str:
    """What four threads gain, predicted and published."""
    lines = [
        "| board | core | models | published gain, median | error of the gain: median / p90 | bias | elementwise |",
        "|---" * 7 + "|",
    ]
    everything = []
    for board in boards:
        kind = kind_of(board)
        both = [one for one in timed(board) if {1, 4} <= one.published_ms.keys()]
        true = np.array([one.published_ms[4] / one.published_ms[1] for one in both])
        ours = np.array([predicted(one, kind, 4) / predicted(one, kind, 1) for one in both])
        found = ours / true
        special = np.array([one.model in _ELEMENTWISE for one in both])
        everything.append(found)
        lines.append(
            f"| {board} | {kind.core.title} | {len(both)} | {1 / np.median(true):.2f} | {told(found)} "
            f"| {100 * (np.median(found) - 1):+.0f} | {told(found[special])} |"
        )
    pooled = np.concatenate(everything)
    lines.append(f"| **pooled** | | {len(pooled)} | | {told(pooled)} | {100 * (np.median(pooled) - 1):+.0f} | |")
    return "\n".join(lines)


def absolute_table(boards: Sequence[str]) -> str:
    """One thread: predicted over published, with terms that LiteRT's rows gave (or none did)."""
    lines = [
        "| board | core | models | predicted / published, median | error after that factor: median / p90 "
        "| elementwise models |",
        "|---" * 6 + "|",
    ]
    for board in boards:
        kind = kind_of(board)
        rows = timed(board)
        found = np.array([predicted(one, kind, 1) / one.published_ms[1] for one in rows])
        special = np.array([one.model in _ELEMENTWISE for one in rows])
        centred = found / np.median(found)
        lines.append(
            f"| {board} | {kind.core.title} | {len(rows)} | {np.median(found):.2f} | {told(centred)} "
            f"| {told(centred[special])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("boards", nargs="*", metavar="BOARD", help="default: " + ", ".join(JUDGES))
    boards = parser.parse_args().boards or JUDGES
    for title, table in (
        ("four threads over one", ratios_table),
        ("one thread", absolute_table),
        ("lines", lines_table),
    ):
        print(f"## {title}\n\n{table(boards)}\n")


if __name__ == "__main__":
    main()

"""Density plots: one figure a kernel, a row of panels from the float weights to the codes in the .tflite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from armopt.core.densities import Density, KernelDensities
from armopt.show import figures
from armopt.show.plot_style import BLUE, GREEN, GREY, ORANGE, PURPLE, QUIET, Picture, calm, write
from armopt.show.text import clean

# Inches.
_PANEL, _GAP, _LEFT, _RIGHT, _HEIGHT, _BOTTOM, _TOP = 2.7, 0.62, 0.72, 0.2, 2.75, 0.5, 0.95
_DPI = 110
# Room for the zeros' label above the tallest other share.
_HEADROOM = 1.3

_AXIS_LABEL = {"value": "weight", "level": "level of the codebook that all channels share"}
_CODE_LABEL = {(-128, 127): "INT8 code", (0, 255): "UINT8 code", (-32768, 32767): "INT16 code"}


def kernel_picture(kernel: KernelDensities) -> Picture:
    """The kernel's densities side by side: equal axes where panels show the same thing, zeros apart from the rest."""
    count = max(len(kernel.steps), 1)
    width = max(_LEFT + count * _PANEL + (count - 1) * _GAP + _RIGHT, 5.0)
    inner = _HEIGHT - _BOTTOM - _TOP
    with calm():
        figure = Picture(figsize=(width, _HEIGHT), dpi=_DPI)
        write(figure, _LEFT / width, 0.96, clean(kernel.kernel, 70), size=11, weight="bold", va="top")
        shape = " x ".join(map(str, kernel.shape)) or "scalar"
        words = f"{int(np.prod(kernel.shape)):,} weights, {shape}"
        write(figure, _LEFT / width, 0.88, words, size=8, color=QUIET, va="top")
        for number, density in enumerate(kernel.steps):
            left = _LEFT + number * (_PANEL + _GAP)
            axes = figure.add_axes((left / width, _BOTTOM / _HEIGHT, _PANEL / width, inner / _HEIGHT))
            _panel(axes, density, _colour(number, density), _tallest(density, kernel.steps))
            if number == 0:
                axes.set_ylabel("share of weights", fontsize=8, color=QUIET, labelpad=3)
            else:
                height = (_BOTTOM + 1.16 * inner) / _HEIGHT
                write(figure, (left - 0.3) / width, height, "\N{RIGHTWARDS ARROW}", size=12, color=QUIET, ha="center")
    return figure


def _colour(number: int, density: Density) -> str:
    if density.axis == "value":
        return BLUE if number else GREY
    return GREEN if density.axis == "level" else PURPLE


def _tallest(density: Density, steps: Sequence[Density]) -> float:
    """Percent that the axis has to hold: histograms of values share theirs, since their bins are the same."""
    alike = [step for step in steps if step.is_histogram] if density.is_histogram else [density]
    return 100 * max(float(step.shares.max(initial=0.0)) for step in alike)


def _panel(axes: Axes, density: Density, colour: str, tallest: float) -> None:
    low, high = density.limits
    margin = 0.03 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    top = (tallest or 100 * density.zeros or 1.0) * _HEADROOM
    axes.set_ylim(0, top)
    if density.is_histogram:
        axes.stairs(100 * density.shares, density.places, fill=True, color=colour, alpha=0.85, linewidth=0)
    else:
        axes.vlines(density.places, 0, 100 * density.shares, color=colour, linewidth=_stem_width(density))
    if density.zeros:
        _draw_zeros(axes, density, top)
    title: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "color": colour}
    axes.text(0, 1.2, clean(density.title, 28), transform=axes.transAxes, parse_math=False, **title)
    axes.text(0, 1.04, _in_words(density), transform=axes.transAxes, fontsize=8, color=QUIET)
    _label_axes(axes, density)


def _label_axes(axes: Axes, density: Density) -> None:
    low, high = density.limits
    label = _AXIS_LABEL.get(density.axis) or _CODE_LABEL.get((int(low), int(high)), "stored code")
    axes.set_xlabel(label, fontsize=8, color=QUIET, labelpad=2)
    if density.axis == "value":
        axes.set_xticks([low, 0, high], [f"{low:.2g}", "0", f"{high:.2g}"])
    else:
        ticks = [low, 0, high] if low < 0 else [low, high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:g}%")
    axes.tick_params(labelsize=7, colors=QUIET, length=2)
    axes.grid(axis="y", linewidth=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#AAAAAA")


def _draw_zeros(axes: Axes, density: Density, top: float) -> None:
    """Zeros apart, since half of all weights in one place would flatten everything else: cut off where they exceed."""
    share = 100 * density.zeros
    axes.vlines([density.zero_at], 0, min(share, top), color=ORANGE, linewidth=2.2)
    if share > top:
        axes.plot([density.zero_at], [top], marker="^", color=ORANGE, markersize=6, clip_on=False)
    axes.text(
        density.zero_at + 0.03 * (density.limits[1] - density.limits[0]),
        0.97 * top,
        f"{figures.share(density.zeros)} zeros",
        fontsize=8,
        color="#B34700",  # darker than the stem: contrast of small text
        va="top",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )


def _in_words(density: Density) -> str:
    noun = {"value": "value", "level": "level", "code": "code"}[density.axis]
    words = f"{density.distinct:,} distinct {noun}{'' if density.distinct == 1 else 's'}"
    return words if density.zeros else f"{words}, no zeros"


def _stem_width(density: Density) -> float:
    """Points: stems of 255 codes side by side just touch, few stand as lines."""
    return 2.4 if len(density.places) <= 40 else 1.2 if len(density.places) <= 80 else 0.72

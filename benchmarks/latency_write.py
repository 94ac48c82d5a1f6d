"""Writes what the calibration found: terms into the device files, tables and pictures into docs/latency-model.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from latency_fit import Array, Row

from armopt.catalog.toml_record import toml_line
from armopt.core.calibration import Calibration

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "latency-model.md"
PICTURES = ROOT / "docs" / "images"
_MARK = (
    "# What follows is written by benchmarks/calibrate_latency.py --write; its sources are docs/latency-model.md's.\n"
)


@dataclass(frozen=True)
class Fitted:
    """The calibrations of one device file: 'cores/NAME' or a board's 'NAME'."""

    file: str
    calibrations: Sequence[Calibration]


def write_calibrations(fitted: Sequence[Fitted]) -> None:
    """Replace the calibrations in the device files."""
    for one in fitted:
        path = ROOT / "devices" / f"{one.file}.toml"
        table = "calibrations" if one.file.startswith("cores/") else "own_calibrations"
        text = re.sub(r"(?ms)^\[\[(own_)?calibrations\]\]\n.*?(?=^\[|^#|\Z)", "", path.read_text(encoding="utf-8"))
        text = text.split(_MARK)[0].rstrip("\n") + "\n"
        if one.calibrations:
            text += "\n" + _MARK + "\n".join(_table(table, calibration) for calibration in one.calibrations)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


def _table(name: str, calibration: Calibration) -> str:
    values = calibration.model_dump().items()
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values}
    return "\n".join([f"[[{name}]]", *(toml_line(key, value) for key, value in rounded.items())]) + "\n"


def write_page(sections: Mapping[str, str]) -> None:
    """Replace what lies between `<!-- NAME -->` and `<!-- end of NAME -->` in the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, section in sections.items():
        first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if first not in text or last not in text:
            raise SystemExit(f"{PAGE}: no place for {name}")
        before, after = text.split(first)[0], text.split(last)[1]
        text = f"{before}{first}\n{section}\n{last}{after}"
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def draw_errors(name: str, panels: Mapping[str, tuple[Sequence[Row], Array]]) -> None:
    """A picture of predicted over published against published, one panel a group, colours by family."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    families = sorted({row.family for rows, _ in panels.values() for row in rows})
    colours = dict(zip(families, ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"), strict=False))
    for axis, (title, (rows, found)) in zip(axes, panels.items(), strict=True):
        for family in families:
            of_family = [index for index, row in enumerate(rows) if row.family == family]
            for is_float, marker in ((True, "o"), (False, "s")):
                chosen = [index for index in of_family if (rows[index].dtype == "fp32") == is_float]
                if chosen:
                    axis.scatter(
                        [rows[index].published_ms for index in chosen], 100 * (found[chosen] - 1), s=22, marker=marker,
                        color=colours[family], label=f"{family}, {'fp32' if is_float else '8 bits'}",
                    )  # fmt: skip
        axis.axhline(0, color="0.6", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("published (ms)")
        axis.legend(fontsize=6, frameon=False)
    axes[0].set_ylabel("predicted - published (%), family left out")
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.svg"
    with rc_context({"svg.hashsalt": name}):  # equal pictures as equal bytes
        figure.savefig(path, metadata={"Date": None})
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")

"""Fits the latency model on published Arm latencies, judges it on what it has not seen, and writes both down.

    ARMOPT_SHARED=../shared python benchmarks/calibrate_latency.py            # the tables, in Markdown
    ARMOPT_SHARED=../shared python benchmarks/calibrate_latency.py --write    # also into devices/ and docs/

The first run writes and counts all networks (about 25 minutes on two cores); later ones take seconds.
"""

from __future__ import annotations

import argparse

import latency_tables as tables
import ncnn_judge
from latency_fit import half_width
from latency_rows import RUY, SINGLE, Group, rows_of
from latency_shapes import FEW, FEW_WIDER, ONE_THREAD, RUY_SHAPES, Judged, of_numbers, shape_of, together
from latency_write import Fitted, draw_errors, write_calibrations, write_page
from ncnn_models import BOARDS

from armopt.core.calibration import Calibration, Terms


def main() -> None:
    """Print the tables; write them down if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="devices/*.toml and docs/latency-model.md")
    options = parser.parse_args()
    one = [Judged(group, f"{group.title}, one thread, XNNPACK", rows_of(group), ONE_THREAD) for group in SINGLE]
    four = [
        Judged(
            group, f"{group.title}, {numbers}, four threads", of_numbers(numbers, rows_of(group)), RUY_SHAPES[numbers]
        )
        for group in RUY.values()
        for numbers in ("float", "integer")
    ]
    sections = {
        "errors": tables.errors_table([judged for judged in [*one, *four] if len(judged.rows) > 3]),
        "baselines": tables.baselines_table(),
        "pooled": tables.pooled_table(one, four),
        "versions": tables.versions_table(),
        "features": tables.features_table(),
        "labels": tables.labels_table(one[:2]),
        "coverage": tables.coverage_table([judged for judged in [*one, *four] if len(judged.rows) > 3]),
        "order": tables.order_table(),
        "terms": tables.terms_table([*one, *four]),
    }
    for name, text in sections.items():
        print(f"\n## {name}\n\n{text}")
    if options.write:
        write_calibrations(_calibrations(one, four))
        # Only now do the device files say what the second judge judges.
        ncnn_judge.kind_of.cache_clear()
        sections["four"] = tables.four_table()
        sections["gains"] = ncnn_judge.ratios_table(ncnn_judge.JUDGES)
        sections["lines"] = ncnn_judge.lines_table(("pi4", "pi5", "orin"))
        sections["second"] = ncnn_judge.absolute_table(ncnn_judge.JUDGES)
        write_page(sections)
        draw_errors("latency-one-thread", {j.group.title: (j.rows, j.by_family) for j in one[:3]})
        draw_errors("latency-four-threads", {"Raspberry Pi 4, ruy, v2.4.1": together(four[:2])})


# Several threads with XNNPACK, for which hardly any figures exist: what they share counts as with one thread, lines at
# 0.95 of the board's copy rate and operators at 10 us as in the ruy rows of four threads.
_SHARED_LINE, _SHARED_OPERATOR_US = 0.95, 10.0
# A judgement beside the 90% of ncnn's four-thread gains that are within 16 to 20% (benchmarks/ncnn_judge.py).
_THREADS_WIDER = 1.2
_FAMILY_WIDER = 1.15  # a core with the pipes of the one that was fitted
_OTHER_CORE_WIDER = 1.35


def _calibrations(one: list[Judged], four: list[Judged]) -> list[Fitted]:
    """What goes into the device files."""
    orin, graviton3, pi4, graviton1 = one
    ncnn = {core: _by_ncnn(board) for core, board in NCNN_CORES.items()}
    fitted = []
    for core, judged, wider, why in (
        ("cortex-a78ae", orin, 1.0, ""),
        ("cortex-a78", orin, _FAMILY_WIDER, "; wider: of a Cortex-A78AE"),
        ("cortex-a76", orin, _FAMILY_WIDER, "; wider: of a Cortex-A78AE, a later core of the same kind"),
        ("neoverse-n1", orin, _FAMILY_WIDER, "; wider: of a Cortex-A78AE, a later core of the same kind"),
        ("neoverse-v1", graviton3, 1.0, ""),
        ("cortex-a72", pi4, 1.0, ""),
        ("cortex-a73", pi4, _OTHER_CORE_WIDER, "; wider: of a Cortex-A72, for lack of figures"),
        ("cortex-a75", pi4, _OTHER_CORE_WIDER, "; wider: of a Cortex-A72, for lack of figures"),
    ):
        fitted.append(Fitted(f"cores/{core}", _ways(judged, wider, why, four if "a72" in core else [])))
    fitted += [Fitted(f"cores/{core}", _ways(judged, 1.0, "", [])) for core, judged in ncnn.items()]
    fitted.append(Fitted("graviton1", _ways(graviton1, 1.0, "", [])))
    fitted.append(Fitted("pixel4", _ways(orin, _OTHER_CORE_WIDER, "; wider: a phone, whose clock is not held", [])))
    fitted.append(Fitted("zero2w", []))
    return fitted


NCNN_CORES = {"cortex-a53": "pi3", "cortex-a55": "rk3568-p2", "cortex-a57": "snapdragon810-big"}


def _by_ncnn(board: str) -> Judged:
    """A core without rows of LiteRT's kernels: its cycles and misses by ncnn's, one thread."""
    kind, rows = ncnn_judge.kind_of(board), ncnn_judge.one_thread_rows(board)
    title = f"{kind.core.title}, one thread, ncnn on {BOARDS[board].published.strip()}"
    return Judged(Group(title, "", board, "ncnn", "ncnn", 1, "1"), title, rows, shape_of("cycles", "misses", "lines"))


def _ways(judged: Judged, wider: float, why: str, four: list[Judged]) -> list[Calibration]:
    """One thread and several with XNNPACK's kernels, one and several with the runtime's own; float and INT8 apart."""
    terms = _terms(judged)
    rows, left = len(judged.rows), "model" if judged.group.backend == "ncnn" else "model family"
    told_rows = f"{rows} published figures ({judged.title})"
    width = half_width(judged.by_family) if rows > 1 else _ALONE
    within = f"90% of {{}} lie within when their {left} is left out of the fit"
    evidence = within.format(told_rows) if rows > 1 else "a judgement: a single figure"

    def way(width: float, why: str, **changes: object) -> Calibration:
        around = {"low": round(1 / width, 3), "high": round(width, 3)}
        base = {**terms, "rows": rows, "source": told_rows}
        return Calibration.model_validate({**base, **around, "interval_source": why, **changes})

    shared = {"line": _SHARED_LINE, "operator_us": _SHARED_OPERATOR_US, "threads": (2, 64)}
    ways = []
    for numbers, title in (("float", "float"), ("integer", "INT8")):
        own_rows = len(of_numbers(numbers, judged.rows))
        few = own_rows < FEW
        around = (width**FEW_WIDER if few else width) * wider
        reason = evidence + (f"; few data of {title} ({own_rows}), so wider" if few else "") + why
        threads = f"{reason}; wider: several threads, checked on ncnn's published gains only"
        kernels = f"{reason}; wider: fitted on XNNPACK's kernels, not the runtime's own"
        ways += [
            way(around, reason, kernels="xnnpack", numbers=(numbers,), threads=(1, 1)),
            way(around * _THREADS_WIDER, threads, kernels="xnnpack", numbers=(numbers,), **shared),
            way(around * _THREADS_WIDER, kernels, kernels="builtin", numbers=(numbers,), threads=(1, 1)),
        ]
        if not four:
            both = f"{kernels}, and not with several threads"
            ways.append(way(around * _THREADS_WIDER**2, both, kernels="builtin", numbers=(numbers,), **shared))
    for ruy in [one for one in four if one.group is RUY["v2.4.1"]]:
        told_ruy = f"{len(ruy.rows)} published figures ({ruy.title})"
        ways.append(
            way(
                half_width(ruy.by_family), within.format(told_ruy), kernels="builtin", numbers=(ruy.shape.name,),
                threads=(2, 64), rows=len(ruy.rows), source=told_ruy, **_terms(ruy),
            )
        )  # fmt: skip
    return ways


def _terms(judged: Judged) -> dict[str, float]:
    names = list(Terms.model_fields)
    return dict(zip(names, map(float, judged.shape.terms(judged.coefficients, len(names))), strict=True))


_ALONE = 1.15  # half width where there is a single figure, before it is widened: a judgement


if __name__ == "__main__":
    main()

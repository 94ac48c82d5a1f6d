"""Tables that say how wrong the latency model is, in Markdown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from latency_fit import Shape, by_family, by_model, covered, fit, half_width, left_out, told
from latency_rows import (
    GRAVITON3,
    ORIN,
    PI4,
    RUY,
    SINGLE,
    XNNPACK_FOUR,
    features_for,
    plain_rows,
    published,
    rows_of,
)
from latency_shapes import CANDIDATES, FEW, FEW_WIDER, ONE_THREAD, RUY_SHAPES, Judged, of_numbers

from armopt.catalog.devices import find_device
from armopt.core.calibration import Terms
from armopt.latency.model import predict_from


def errors_table(all_judged: list[Judged]) -> str:
    """Left-out errors of every group, and of its float and 8-bit rows apart where it has both."""
    lines = ["| rows of | rows | family left out | bias | model left out | all seen | 90% within |", "|---" * 7 + "|"]
    for judged in all_judged:
        family, model = judged.by_family, left_out(judged.shape, judged.rows, by_model)
        seen = judged.shape.matrix(judged.rows) @ judged.coefficients / [row.published_ms for row in judged.rows]
        is_float = np.array([row.dtype == "fp32" for row in judged.rows])
        kinds = {judged.title: np.ones(len(is_float), bool)}
        if is_float.any() and not is_float.all():
            kinds |= {"- of these float": is_float, "- of these 8 bits": ~is_float}
        for title, rows in kinds.items():
            few = ", few data" if rows.sum() < FEW else ""
            lines.append(
                f"| {title} | {rows.sum()}{few} | {told(family[rows])} | {100 * (np.median(family[rows]) - 1):+.1f} "
                f"| {told(model[rows])} | {told(seen[rows])} | x{half_width(family[rows]):.2f} |"
            )
    return "\n".join(lines)


def pooled_table(one: list[Judged], four: list[Judged]) -> str:
    """Family left out, over types and versions together."""
    versions: dict[str, list[Judged]] = {}
    for judged in four:
        versions.setdefault(judged.group.title, []).append(judged)
    lines = ["| rows of | rows | family left out |", "|---|---|---|"]
    for title, parts in {"one thread, XNNPACK, all boards": [j for j in one if len(j.rows) > 3], **versions}.items():
        found = np.concatenate([judged.by_family for judged in parts])
        lines.append(f"| {title} | {len(found)} | {told(found)} |")
    return "\n".join(lines)


# What others predict from: name -> Row.units of `plain_rows` that have a coefficient each.
_BASELINES: dict[str, tuple[tuple[int, ...], ...]] = {
    "MACs and a constant": ((0,), (1,), (5,)),
    "MACs, activations and a constant": ((0,), (1,), (2,), (3,), (5,)),
    "instructions": ((4,),),
}


def baselines_table() -> str:
    """The same rows by simpler regressions."""
    groups = [ORIN, GRAVITON3, PI4, RUY["v2.4.1"]]
    lines = [
        "| predictor, family left out | " + " | ".join(group.title for group in groups) + " |",
        "|---" * (len(groups) + 1) + "|",
    ]
    for name, columns in _BASELINES.items():
        shape = Shape(name, columns, (1.0,) * len(columns), 0.0)
        cells = [told(left_out(shape, plain_rows(group), by_family)) for group in groups]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    cells = [told(left_out(CANDIDATES[0], rows_of(group), by_family)) for group in groups]
    lines.append(f"| cycles by llvm-mca, one coefficient | {' | '.join(cells)} |")
    ruy = np.concatenate(
        [left_out(RUY_SHAPES[n], of_numbers(n, rows_of(groups[-1])), by_family) for n in ("float", "integer")]
    )
    cells = [told(left_out(ONE_THREAD, rows_of(group), by_family)) for group in groups[:-1]] + [told(ruy)]
    lines.append(f"| **this model** | {' | '.join(cells)} |")
    return "\n".join(lines)


def versions_table() -> str:
    """The same rows and form, counted with kernels of their own age and with today's."""
    lines = ["| rows of | kernels of October 2023 | of the locked LiteRT |", "|---|---|---|"]
    for group in (ORIN, GRAVITON3, PI4):
        found = [
            left_out(ONE_THREAD, rows_of(replace(group, kernels=kernels)), by_family)
            for kernels in (group.kernels, "xnnpack")
        ]
        lines.append(f"| {group.title}, one thread | {' | '.join(map(told, found))} |")
    return "\n".join(lines)


def features_table() -> str:
    """Which terms: chosen on one half of the families, the other half scored once with coefficients of the first."""
    lines = [
        "| terms | chosen on MobileNet v1: " + " | ".join(group.title for group in (ORIN, GRAVITON3)) + " | mean |",
        "|---" * 4 + "|",
    ]
    halves = {}
    for group in (ORIN, GRAVITON3):
        rows = rows_of(group)
        halves[group.title] = (
            [row for row in rows if row.family == "mobilenet_v1"], [row for row in rows if row.family != "mobilenet_v1"]
        )  # fmt: skip
    scores = {}
    for shape in CANDIDATES:
        found = [left_out(shape, first, by_model) for first, _ in halves.values()]
        scores[shape.name] = float(np.mean([np.median(np.abs(one - 1)) for one in found]))
        lines.append(f"| {shape.name} | {' | '.join(map(told, found))} | {100 * scores[shape.name]:.2f} |")
    best = min(CANDIDATES, key=lambda shape: scores[shape.name])
    lines.append("")
    for shape in dict.fromkeys((best, ONE_THREAD)):
        cells = []
        for title, (first, second) in halves.items():
            found = shape.matrix(second) @ fit(shape, first) / [row.published_ms for row in second]
            cells.append(f"{title} {told(found)}")
        role = "the best on MobileNet v1" if shape is best else "the one that is used"
        lines.append(
            f"{shape.name} ({role}): with v1's coefficients, on MobileNet v2 and EfficientNet-lite {'; '.join(cells)}."
        )
    return "\n".join(lines)


def labels_table(all_judged: list[Judged]) -> str:
    """The same fit on figures that were dealt out at random must fail."""
    lines = ["| rows of | true figures | figures shuffled (median of 20) |", "|---|---|---|"]
    for judged in all_judged:
        errors = []
        for seed in range(20):
            order = np.random.default_rng(seed).permutation(len(judged.rows))
            shuffled = [
                replace(row, published_ms=judged.rows[other].published_ms)
                for row, other in zip(judged.rows, order, strict=True)
            ]
            found = left_out(judged.shape, shuffled, by_family)
            errors.append((np.median(np.abs(found - 1)), np.percentile(np.abs(found - 1), 90)))
        median, p90 = 100 * np.median(errors, axis=0)
        lines.append(f"| {judged.title} | {told(judged.by_family)} | {median:.0f} / {p90:.0f} |")
    return "\n".join(lines)


def coverage_table(all_judged: list[Judged]) -> str:
    """How many left-out rows the 90% interval holds that was made without their family."""
    lines = ["| rows of | rows | held | width, median |", "|---|---|---|---|"]
    holds, widths = [], []
    for judged in all_judged:
        inside, width = covered(judged.shape, judged.rows)
        if len(judged.rows) < FEW:
            width = width**FEW_WIDER
            found = np.abs(np.log(judged.by_family))
            inside = (found <= np.log(width)).astype(float)
        holds.append(inside)
        widths.append(width)
        lines.append(f"| {judged.title} | {len(judged.rows)} | {100 * inside.mean():.0f}% | x{np.median(width):.2f} |")
    everything, wide = np.concatenate(holds), np.concatenate(widths)
    lines.append(f"| **pooled** | {len(everything)} | {100 * everything.mean():.0f}% | x{np.median(wide):.2f} |")
    return "\n".join(lines)


def order_table() -> str:
    """Whether INT8 is predicted faster or slower than float as it was published, where they differ by more than 5%."""
    lines = ["| pairs of | pairs | in order | ratio predicted over published |", "|---|---|---|---|"]
    for group in (ORIN, GRAVITON3, *RUY.values()):
        rows = rows_of(group)
        found = {}
        for row in rows:
            shape = ONE_THREAD if group in SINGLE else RUY_SHAPES["float" if row.dtype == "fp32" else "integer"]
            same = rows if group in SINGLE else of_numbers("float" if row.dtype == "fp32" else "integer", rows)
            predicted = float((shape.matrix([row]) @ fit(shape, [r for r in same if r.family != row.family]))[0])
            found[row.model, row.dtype] = (row.published_ms, predicted)
        pairs = [
            (found[model, dtype], found[model, "fp32"])
            for model, dtype in found
            if dtype != "fp32" and (model, "fp32") in found
        ]
        apart = [
            (small[0] / big[0], small[1] / big[1])
            for small, big in pairs
            if abs(np.log(small[0] / big[0])) > np.log(1.05)
        ]
        right = sum((true < 1) == (guess < 1) for true, guess in apart)
        off = np.array([guess / true for true, guess in apart])
        lines.append(f"| {group.title} | {len(apart)} | {right} | {off.min():.2f} to {off.max():.2f} |")
    return "\n".join(lines)


def four_table() -> str:
    """XNNPACK with four threads, as its README has it, by the calibrations that are in the device files."""
    lines = ["| board | version | model | type | published (ms) | predicted (ms) | ratio |", "|---" * 7 + "|"]
    for group in XNNPACK_FOUR:
        board = find_device(group.board)
        for figure in published(group, ("mean",)):
            features = features_for(group.board, group.kernels, figure.model, figure.dtype)
            found = predict_from(features, board, threads=4, freq_mhz=round(figure.freq_mhz)).p50_ms
            lines.append(
                f"| {group.title} | {figure.framework} | {figure.model} | {figure.dtype} | {figure.latency_ms:g} "
                f"| {found:.1f} | {found / figure.latency_ms:.2f} |"
            )
    return "\n".join(lines)


def terms_table(all_judged: list[Judged]) -> str:
    """The coefficients, fitted on all rows."""
    names = list(Terms.model_fields)
    lines = ["| fitted on | rows | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for judged in all_judged:
        terms = judged.shape.terms(judged.coefficients, len(names))
        lines.append(f"| {judged.title} | {len(judged.rows)} | {' | '.join(f'{term:.3g}' for term in terms)} |")
    return "\n".join(lines)

"""Where a latency goes, operator by operator: for one model, or before and after."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from armopt.core.operator_times import changes_by_kind, time_by_kind
from armopt.core.records import Measurement, OperatorTime
from armopt.show import figures
from armopt.show.kernels import numbered, short_kernel, short_shape
from armopt.show.tables import plain_table
from armopt.show.text import clean

_TOP = 10
RUNTIME = "runtime"
WORDS_OF_BOUND = {
    "multiply": "multiplying",
    "load": "loads",
    "store": "stores",
    "permute": "permuting",
    "vector": "vector work",
    "issue": "issue rate",
    "scalar": "scalar work",
    "bandwidth": "bandwidth",
    "overhead": "overhead",
}
_MEANING = {
    "multiply": "vector units with products",
    "load": "the units that load",
    "store": "the unit that stores",
    "permute": "vector units with moving values about",
    "vector": "vector units with anything but products",
    "issue": "as many instructions a cycle as the core issues",
    "scalar": "addresses and loops",
    "bandwidth": "waiting for caches and memory",
    "overhead": "the runtime around a small kernel",
}
_ZEROS = "pruned and clustered weights take the same time: these kernels multiply by every weight, whatever its value"


def slowest(operators: Sequence[OperatorTime], most: int | None) -> list[OperatorTime]:
    """The operators that took time, slowest first, `most` of them; the runtime's row is none of them."""
    ran = [operator for operator in operators if operator.index is not None and operator.instructions]
    return sorted(ran, key=lambda operator: -operator.latency_ms)[:most]


def operator_table(found: Measurement, most: int | None = _TOP) -> Table:
    """The slowest operators, then lines for the others, for the runtime, and for all together."""
    operators = found.operators or ()
    top = slowest(operators, most)
    rest = slowest(operators, None)[len(top) :]
    whole = sum(operator.latency_ms for operator in operators)
    table = plain_table(gap=2)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("operator", no_wrap=True)
    table.add_column("output", no_wrap=True)
    table.add_column("kernel", min_width=16, overflow="ellipsis")  # the one that gives way on a narrow terminal
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("limited by", no_wrap=True)
    for operator in top:
        table.add_row(
            str(operator.index),
            clean(operator.kind, 24),
            short_shape(operator.shape),
            short_kernel(operator.kernel),
            _ms(operator.latency_ms, whole),
            share(operator.share),
            WORDS_OF_BOUND[operator.bound] if operator.bound else "",
        )
    if top:
        table.add_section()
    if rest:
        _sum_row(table, f"{len(rest)} other{'s' * (len(rest) > 1)}", rest, whole)
    _sum_row(table, RUNTIME, [operator for operator in operators if operator.index is None], whole)
    _sum_row(table, "all", operators, whole, "bold")
    return table


def share(value: float) -> str:
    """Like `figures.share`; what would round to nothing is '<0.1%'."""
    return "<0.1%" if 0 < value < 0.0005 else figures.share(min(1.0, round(value, 6)))


def operator_lines(found: Measurement, most: int | None = _TOP) -> list[Text | Table]:
    """The kinds, what would help the slowest, and what the words mean."""
    operators = found.operators or ()
    top = slowest(operators, most)
    kinds = [each for each in time_by_kind(operators) if each.kind != RUNTIME and each.runs]
    whole = sum(operator.latency_ms for operator in operators) or 1.0
    told = [f"{each.runs} {clean(each.kind, 24)} {share(each.latency_ms / whole)}" for each in kinds[:6]]
    lines: list[Text | Table] = [Text(f"by kind: {', '.join(told)}")]
    unseen = [operator for operator in operators if operator.index is not None and not operator.instructions]
    if unseen:
        named = ", ".join(f"{numbered(each)} {clean(each.kind, 24)}" for each in unseen[:4])
        more = f" and {len(unseen) - 4} more" if len(unseen) > 4 else ""
        lines.append(Text(f"not run by themselves, fused or left out by the runtime: {named}{more}"))
    if any(operator.advice for operator in top):
        lines += [Text("what would help:", "bold"), _advice(top)]
    meant = {operator.bound: _MEANING[operator.bound] for operator in top if operator.bound}
    words = "; ".join(f"{WORDS_OF_BOUND[bound]}: {meaning}" for bound, meaning in meant.items())
    return [*lines, Text(_ZEROS, "dim"), Text(f"limited by {words}", "dim")]


def _advice(top: Sequence[OperatorTime]) -> Table:
    """Each sentence once, with the operators that it is for and their share."""
    those_of: dict[str, list[OperatorTime]] = {}
    for operator in top:
        if operator.advice:
            those_of.setdefault(operator.advice, []).append(operator)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(style="cyan", max_width=26)
    grid.add_column()
    for sentence, those in those_of.items():
        named = f"{', '.join(map(numbered, those))} ({share(sum(each.share for each in those))})"
        grid.add_row("", named, clean(sentence))
    return grid


def compare_table(before: Measurement, after: Measurement) -> Table:
    """What each kind of operator took in two models, and the difference."""
    changes = changes_by_kind(before.operators or (), after.operators or ())
    totals = [found.latency_ms.p50 if found.latency_ms else 0.0 for found in (before, after)]
    table = plain_table(gap=2)
    table.add_column("operators", no_wrap=True)
    for name in ("before (ms)", "after (ms)"):
        table.add_column("", justify="right", no_wrap=True)
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for change in changes:
        if not change.before.runs and not change.after.runs and change.kind != RUNTIME:
            continue  # fused or left out in both
        cells = [clean(change.kind, 24)]
        for each in (change.before, change.after):
            cells.append(f"{each.runs} x" if each.runs and each.kind != RUNTIME else "")
            cells.append(_ms(each.latency_ms, max(totals)) if each.latency_ms else "-")
        table.add_row(*cells, *_difference(change.before.latency_ms, change.after.latency_ms, max(totals)))
    table.add_section()
    whole = [cell for total in totals for cell in ("", _ms(total, max(totals)))]
    table.add_row("all", *whole, *_difference(totals[0], totals[1], max(totals)), style="bold")
    return table


def compare_lines(before: Measurement, after: Measurement, names: tuple[str, str]) -> list[Text]:
    """Which file is which, and how well each is known."""
    lines = []
    for word, found, name in (("before", before, names[0]), ("after", after, names[1])):
        known = f": {found.evidence}, {figures.interval(found.interval_ms)} ms" if found.interval_ms else ""
        lines.append(Text(f"{word}: {clean(name)}{known}"))
    return [*lines, Text("much of a modelled latency's error is the same in both", "dim")]


def _difference(before: float, after: float, whole: float) -> tuple[str, str]:
    sign = "+" if after >= before else "-"
    # A percentage of next to nothing would only catch the eye.
    matters = before and after and max(before, after) > 0.001 * whole
    return f"{sign}{_ms(abs(after - before), whole)}", f"{after / before - 1:+.0%}" if matters else ""


def _ms(value: float, whole: float) -> str:
    """As many decimals for all parts of `whole` as show a thousandth of it."""
    decimals = 2 if whole >= 10 else 3 if whole >= 1 else 4
    return f"{value:,.{decimals}f}"


def _sum_row(table: Table, name: str, operators: Sequence[OperatorTime], whole: float, style: str = "") -> None:
    latency_ms = sum(each.latency_ms for each in operators)
    table.add_row("", name, "", "", _ms(latency_ms, whole), share(sum(each.share for each in operators)), style=style)

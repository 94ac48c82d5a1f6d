"""A search in the terminal: the trials that no other beats, how many ended how, and where the model is sensitive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from armopt.core.records import Metric, Result
from armopt.core.search_record import SearchRecord, Sensitivity, Trial, TrialState
from armopt.core.tree import stage_of
from armopt.show import figures
from armopt.show.tables import plain_table
from armopt.show.text import clean

# Below this many columns a figure and its interval, and a path and its strengths, share a cell on several lines.
_WIDE = 140
# Layers told of by name, for each technique.
_MOST_SENSITIVE = 3
# A tilt below this treats all layers nearly alike.
_FELT_TILT = 0.05

_Kind = Literal["channels", "prune", "cluster"]
_STATES: tuple[TrialState, ...] = get_args(TrialState)


def search_lines(result: Result) -> list[Text | SearchTable]:
    """What there is to show of a run's search; nothing where there was none."""
    record = result.search
    if record is None:
        return []
    lines: list[Text | SearchTable] = [Text(counts(record), "bold")]
    if record.trials and front(record):
        lines.append(SearchTable(record, result.metric, delivered_words(result)))
    lines += [Text(line, "dim") for line in sensitivity_lines(record)]
    return lines


class SearchTable:
    """Renderable: one row for each trial that no other beats, laid out for the console's width."""

    def __init__(self, record: SearchRecord, metric: Metric, delivered: str) -> None:
        self._record, self._metric, self._delivered = record, metric, delivered

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        wide = options.max_width >= _WIDE
        name = clean(self._metric.name, 24)
        table = plain_table(gap=3 if wide else 1)
        table.add_column("trial")
        if wide:
            table.add_column("leaf", no_wrap=True)
        for column in (f"{name} on val" if wide else "on val", "gzip", "latency (interval)" if wide else "latency"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("strengths", ratio=1)
        for trial in front(self._record):
            winner = trial.number == self._record.winner
            words = [str(trial.number), *(["winner"] if winner else []), *([] if trial.meets_target else ["missed"])]
            strengths, path = strength_words(trial), clean(trial.path, 60)
            strengths += f", {self._delivered}" if winner and self._delivered else ""
            cells = [", ".join(words) if wide else "\n".join(words), *([path] if wide else [])]
            cells += [_metric(trial), _size(trial), _latency(trial, wide)]
            cells.append(strengths if wide else f"{path}\n{strengths}")
            table.add_row(*map(Text, cells), style="bold" if winner else None)
        yield table


def front(record: SearchRecord) -> list[Trial]:
    """Trials that no other beats, and the winner, in the order in which they were tried."""
    shown = {*record.pareto, *([record.winner] if record.winner is not None else [])}
    return [trial for trial in record.trials if trial.number in shown]


def counts(record: SearchRecord) -> str:
    """How many trials there were, and how they ended."""
    own = [trial for trial in record.trials if trial.on_the_way_of is None]
    ended = [(sum(trial.state == state for trial in own), state) for state in _STATES]
    told = ", ".join(f"{count} {state}" for count, state in ended if count)
    parts = len(record.trials) - len(own)
    beside = f"; {parts} more on the way of those that were trained" if parts else ""
    known = f"; {record.known_before} known from earlier searches" if record.known_before else ""
    return f"search: {len(own)} trial{'s' * (len(own) != 1)}{f' ({told})' if told else ''}{beside}{known}"


def delivered_words(result: Result) -> str:
    """How the winner was delivered, where not as it was tried: one quantized after training may have needed QAT."""
    winner = result.search.winning_trial if result.search else None
    if winner is None or result.chosen in (None, winner.path):
        return ""
    return f"delivered as {clean(stage_of(str(result.chosen)), 24).upper()}"


def strength_words(trial: Trial) -> str:
    """What a trial does and how hard: 'width 46%, 50% zeros, 16 codes, 2 spared, QAT, distilled'."""
    stages, given = trial.path.split("/"), trial.strengths
    words = []
    for stage, name, form in (
        ("channels", "width", "width {:.0%}"),
        ("prune", "sparsity", "{:.0%} zeros"),
        ("cluster", "clusters", "{:.0f} codes"),
    ):
        if stage in stages and name in given:
            tilt = float(given.get(f"{name}_tilt", 0.0))
            words.append(form.format(given[name]) + (f" (tilt {tilt:.1f})" if tilt >= _FELT_TILT else ""))
    if given.get("spared") and {"prune", "cluster"} & set(stages):
        words.append(f"{given['spared']} spared")
    words.append("PTQ" if stage_of(trial.path) == "ptq" else "QAT")
    if given.get("epochs", 1.0) != 1.0:
        words.append(f"{given['epochs']:g} x epochs")
    if given.get("distill"):
        words.append("distilled")
    return ", ".join(words)


def sensitivity_lines(record: SearchRecord) -> Iterator[str]:
    """The most sensitive layers of each technique, with what the metric loses there, one line a technique."""
    for kind in get_args(_Kind):
        found = sorted((one for one in record.sensitivities if one.kind == kind), key=_insensitive)
        if found:
            named = ", ".join(f"{clean(one.name, 40)} {_drop(one)}" for one in found[:_MOST_SENSITIVE])
            yield f"most sensitive to {_done(found[0])} (drop of the metric, untrained): {named}"


def _insensitive(one: Sensitivity) -> tuple[bool, float]:
    return one.drop is not None, -(one.drop or 0.0)


def _done(one: Sensitivity) -> str:
    return {
        "channels": f"keeping {one.strength:.0%} of the channels",
        "prune": f"{one.strength:.0%} zeros",
        "cluster": f"{one.strength:.0f} codes",
    }[one.kind]


def _drop(one: Sensitivity) -> str:
    return "all of it" if one.drop is None else figures.change(one.drop, 0.0).removeprefix("+")


def _metric(trial: Trial) -> str:
    return "" if trial.metric is None else figures.metric_value(trial.metric)


def _size(trial: Trial) -> str:
    return "" if trial.gz_bytes is None else figures.size(trial.gz_bytes)


def _latency(trial: Trial, wide: bool) -> str:
    if trial.latency_ms is None:
        return ""
    told = figures.milliseconds(trial.latency_ms)
    if trial.interval_ms is None:
        return told
    bounds = figures.interval(trial.interval_ms)
    return f"{told} ({bounds})" if wide else f"{told}\n{bounds}"

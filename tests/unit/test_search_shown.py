from __future__ import annotations

import io

import pytest
from rich.console import Console
from search_results import HOSTILE, many, result_of, trial

from armopt.core.records import Result
from armopt.core.search_record import SearchRecord
from armopt.show.search import counts, search_lines, strength_words


def printed(result: Result, width: int) -> str:
    page = Console(width=width, file=io.StringIO(), highlight=False)
    for part in search_lines(result):
        page.print(part)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


def test_strengths_are_told_in_words_and_only_those_that_are_at_work() -> None:
    assert strength_words(trial(0)) == (
        "width 46% (tilt 0.7), 50% zeros, 16 codes, 2 spared, QAT, 2 x epochs, distilled"
    )
    assert strength_words(trial(0, path="channels/ptq")) == "width 46% (tilt 0.7), PTQ, 2 x epochs, distilled"
    assert strength_words(trial(0, path="prune/ptq", strengths={})) == "PTQ"  # the user named the sparsity


@pytest.mark.parametrize("width", [80, 100, 160, 200])
def test_the_front_fits_any_terminal_and_loses_no_figure(width: int) -> None:
    text = printed(many(), width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    assert "search: 24 trials (" in flat and "7 known from earlier searches" in flat
    assert "winner" in flat and "…" not in text
    record = many().search
    assert record is not None
    for number in record.pareto:
        one = record.trials[number]
        assert f"{one.metric:.4f}" in flat and one.path in flat


def test_the_counts_name_every_way_to_end() -> None:
    states = ("finished", "stopped", "stopped", "infeasible", "failed")
    trials = tuple(trial(number, state=state) for number, state in enumerate(states))
    told = counts(SearchRecord(seed=1, trials=trials))
    assert told == "search: 5 trials (1 finished, 2 stopped, 1 infeasible, 1 failed)"
    beside = counts(SearchRecord(seed=1, trials=(trial(0), trial(1, on_the_way_of=0))))
    assert beside == "search: 1 trial (1 finished); 1 more on the way of those that were trained"


def test_a_trial_that_misses_the_target_says_so() -> None:
    text = printed(result_of([trial(0), trial(1, meets_target=False)]), 160)
    assert "0, winner" in text and "1, missed" in text


@pytest.mark.parametrize("width", [80, 160])
def test_a_winner_that_was_delivered_with_qat_says_so(width: int) -> None:
    result = result_of([trial(0, path="channels/ptq"), trial(1, path="channels/ptq")])
    for chosen in (None, "channels/ptq"):
        assert "delivered" not in printed(result.model_copy(update={"chosen": chosen}), width)
    flat = " ".join(printed(result.model_copy(update={"chosen": "channels/qat"}), width).split())
    assert flat.count("delivered as QAT") == 1


def test_the_most_sensitive_layers_are_named_for_each_technique_and_their_names_steer_no_terminal() -> None:
    result = many()
    text = printed(result.model_copy(update={"metric": result.metric.model_copy(update={"name": HOSTILE})}), 200)
    assert "\x1b" not in text and "owned" not in text
    for words in ("keeping 50% of the channels", "80% zeros", "6 codes"):
        assert f"most sensitive to {words} (drop of the metric, untrained): " in text
    assert "4 all of it" in text and "3 0.1500" in text and "2 0.1000" in text
    assert "1 0.0500" not in text


def test_where_nothing_was_found_the_counts_stand_alone() -> None:
    assert printed(result_of([]), 80) == "search: 0 trials\n"
    assert printed(result_of([trial(0, state="infeasible")]), 80) == "search: 1 trial (1 infeasible)\n"
    assert printed(result_of([]).model_copy(update={"search": None}), 80) == ""

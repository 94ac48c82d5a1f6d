from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from search_results import HOSTILE, many, result_of, trial

from armopt.core.events import Event, Note
from armopt.core.records import Metric, Result
from armopt.core.target import Target
from armopt.picturing import clear_plots, plot_search
from armopt.show.plot_style import calm
from armopt.show.search_plot import search_picture


def drawn(result: Result) -> Any:
    picture = search_picture(result)
    assert picture is not None
    return picture


def texts(picture: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in picture.findobj(Text))


def test_metric_lies_over_latency_with_ways_to_end_apart_the_limits_and_the_winner() -> None:
    shown = texts(drawn(many()))
    ended = ("finished: ", "stopped: ", "infeasible: ")
    for words in ("latency (ms)", "accuracy on val", *ended, "target", "winner: trial"):
        assert words in shown
    [axes] = drawn(many()).axes
    groups = [group for group in axes.collections if group.get_label().startswith(ended)]
    markers = {tuple(map(tuple, group.get_paths()[0].vertices)) for group in groups}
    assert len(markers) == 3  # not by colour alone


@pytest.mark.parametrize("winner", [0, 1, 2])
def test_a_winner_that_was_delivered_with_qat_says_so_within_the_picture(winner: int) -> None:
    trials = [trial(n, path="prune/ptq", metric=0.95 + n / 100, latency_ms=1 + n / 2) for n in range(3)]
    result = result_of(trials, winner=winner)
    result = result.model_copy(update={"metric": Metric(name="categorical_crossentropy")})
    for chosen, words in ((None, f"trial {winner}"), ("prune/pqat", f"trial {winner}, delivered as PQAT")):
        picture = drawn(result.model_copy(update={"chosen": chosen}))
        with calm():
            picture.canvas.draw()
        [named] = [text for text in picture.axes[0].texts if f"winner: {words}\n" in text.get_text()]
        box = named.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= picture.bbox.x1 and box.y0 >= 0


def test_where_all_are_equally_fast_size_takes_the_place_of_latency() -> None:
    limits = Target(max_gz_bytes=60_000, min_accuracy=0.975).model_dump()
    picture = drawn(many(same_latency=True).model_copy(update={"target": limits}))
    assert "compressed size (kB)" in texts(picture)
    [axes] = picture.axes
    lines = [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() == "--"]
    assert sorted(lines) == [[[0, 0.975], [1, 0.975]], [[60.0, 0], [60.0, 1]]]


def test_the_front_climbs_and_is_joined() -> None:
    trials = [trial(n, metric=m, latency_ms=ms) for n, (ms, m) in enumerate([(1.0, 0.9), (2.0, 0.8), (3.0, 0.95)])]
    [axes] = drawn(result_of(trials)).axes
    [front] = [line.get_xydata().tolist() for line in axes.lines if line.get_label() == "no other beats these"]
    assert front == [[1.0, 0.9], [3.0, 0.95]]
    errors = result_of(trials).model_copy(update={"metric": Metric(name="mae", higher_is_better=False)})
    [axes] = drawn(errors).axes
    [front] = [line.get_xydata().tolist() for line in axes.lines if line.get_label() == "no other beats these"]
    assert front == [[1.0, 0.9], [2.0, 0.8]]


def test_all_words_lie_within_the_picture_however_much_there_is_to_count() -> None:
    from matplotlib.text import Text

    run = many()
    assert run.search is not None
    beside = [trial(100 + n, metric=0.97, latency_ms=1.5).model_copy(update={"on_the_way_of": 0}) for n in range(120)]
    record = run.search.model_copy(update={"trials": (*run.search.trials, *beside), "known_before": 120})
    picture = drawn(run.model_copy(update={"search": record}))
    with calm():
        picture.canvas.draw()
    [counted] = [text for text in picture.texts if text.get_text().startswith("search:")]
    [axes] = picture.axes
    assert "known from earlier searches" in counted.get_text().replace("\n", " ")
    box, legend = counted.get_window_extent(), axes.get_legend().get_window_extent()
    assert box.x1 <= picture.bbox.x1 and box.y0 >= legend.y1
    assert all(text.get_window_extent().x1 <= picture.bbox.x1 for text in picture.findobj(Text) if text.get_visible())


@pytest.mark.parametrize("state", ["finished", "stopped", "infeasible"])
def test_one_trial_is_a_picture_too(state: str) -> None:
    with calm():
        drawn(result_of([trial(0, state=state)])).canvas.draw()


def test_trials_without_figures_make_no_picture() -> None:
    failed = trial(0, state="failed", metric=None, gz_bytes=None, latency_ms=None)
    assert search_picture(result_of([failed])) is None
    assert search_picture(result_of([])) is None
    assert search_picture(result_of([]).model_copy(update={"search": None})) is None


def test_hostile_names_are_text_and_no_formula() -> None:
    update = {"model": HOSTILE, "metric": Metric(name=HOSTILE)}
    picture = drawn(many().model_copy(update=update))
    with calm():
        picture.canvas.draw()
    assert "\x1b" not in texts(picture) and "owned" not in texts(picture) and "$x^2$" in texts(picture)


def test_it_lies_in_the_plots_as_png_and_svg_until_they_are_cleared(tmp_path: Path) -> None:
    told: list[Event] = []
    plot_search(many(), tmp_path, told.append)
    files = {file.name: file.read_bytes() for file in (tmp_path / "plots").iterdir()}
    assert sorted(files) == ["000-search.png", "000-search.svg"]
    plot_search(many(), tmp_path, told.append)
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "plots").iterdir()}
    clear_plots(tmp_path)
    assert not (tmp_path / "plots").exists()
    (tmp_path / "plots").write_text("a file where the folder should be")
    plot_search(many(), tmp_path, told.append)
    assert isinstance(told[-1], Note) and told[-1].text.startswith("no picture of the search: ")

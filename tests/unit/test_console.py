from __future__ import annotations

import io

from rich.console import Console
from search_results import HOSTILE

from armopt.core.events import Doing, Event, NodeStarted, Note, RunStarted, SearchProgress, TrainingStep
from armopt.show.console import PlainLines, plain_line, progress
from armopt.show.live import LiveTree


def test_a_log_gets_one_line_an_event_and_none_a_step(events: list[Event]) -> None:
    log = io.StringIO()
    with progress(log) as listener:
        for event in events:
            listener(event)
    lines = log.getvalue().splitlines()
    steps = sum(isinstance(event, TrainingStep) for event in events)
    assert len(lines) == len(events) - steps - 1  # the end of the run is told by the table
    assert "\x1b" not in log.getvalue()
    assert "owned" not in log.getvalue()


def test_a_log_says_why_a_node_was_skipped_or_failed(events: list[Event]) -> None:
    lines = [plain_line(event) or "" for event in events]
    assert "qat: skipped; can't help size on pi4: it can only win back accuracy" in lines
    assert "prune/pqat: failed; the converter refused redit" in lines
    assert any(line.startswith("ptq: missed from the store; metric 0.9833") for line in lines)
    assert any(line.startswith("prune: trained in 12 s") for line in lines)


def test_the_first_line_says_where_and_against_what(events: list[Event]) -> None:
    started = next(event for event in events if isinstance(event, RunStarted))
    assert plain_line(started) == (
        "8 nodes, 2 of them deployable; pi4 (qemu, modelled); target: at most 20,000 bytes (gzip)"
    )


def drawn(live: LiveTree, width: int = 100) -> str:
    page = Console(width=width, file=io.StringIO(), highlight=False)
    page.print(live._picture())
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


def test_the_live_tree_shows_every_node_and_the_step_of_the_active_one(events: list[Event]) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    with LiveTree(terminal) as live:
        for event in events:
            live(event)
            if isinstance(event, TrainingStep) and event.step == 200:
                break
        picture = drawn(live)
    assert "200/300 steps, epoch 2/2, loss 0.25" in picture
    assert "prune/cluster/pcqat waiting" in picture
    assert "ptq                 missed  metric 0.9833" in picture


def test_the_live_tree_shows_all_nodes_that_workers_train_at_once(events: list[Event]) -> None:
    with LiveTree(Console(file=io.StringIO(), force_terminal=True, width=100, height=40)) as live:
        live(events[0])
        live(NodeStarted("prune", "prune to 50% zeros"))
        live(TrainingStep("prune", 10, 300, 1, 2, 0.5))
        assert "loss 0.5, " in drawn(live)
        live(NodeStarted("qat", "quantization-aware training"))
        live(TrainingStep("qat", 20, 300, 1, 2, 0.25))
        both = drawn(live)
        live(TrainingStep("prune", 300, 300, 2, 2, 0.4))
        live(Doing("emulated pi4: running 4 samples"))
        later = drawn(live)
    assert "10/300 steps, epoch 1/2, loss 0.5, prune," in both
    assert "20/300 steps, epoch 1/2, loss 0.25, qat," in both
    assert "prune to 50% zeros" in later and "quantization-aware" in later  # still exporting; still training
    assert later.count("/300 steps") == 1
    assert "emulated pi4: running 4 samples" in later


def test_paths_stay_whole_on_a_narrow_terminal(events: list[Event]) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=60, height=40)
    with LiveTree(terminal) as live:
        live(events[0])
        picture = drawn(live, width=60)
    assert "prune/cluster/pcqat" in picture
    assert max(map(len, picture.splitlines())) <= 60


def test_the_cursor_comes_back_when_a_run_breaks(events: list[Event]) -> None:
    screen = io.StringIO()
    try:
        with LiveTree(Console(file=screen, force_terminal=True, width=80, height=40)) as live:
            live(events[0])
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")


def test_a_log_tells_each_kind_of_work_once() -> None:
    log = io.StringIO()
    listener = PlainLines(log)
    for text in ("emulator: fetching numpy", "pi4: 40 of 360 samples", "pi4: 80 of 360 samples", "emulator: compiling"):
        listener(Doing(text))
    assert log.getvalue().splitlines() == ["emulator: fetching numpy", "pi4: 40 of 360 samples", "emulator: compiling"]


def test_the_live_tree_says_what_is_done_for_a_leaf_from_the_store(events: list[Event]) -> None:
    with LiveTree(Console(file=io.StringIO(), force_terminal=True, width=100, height=40)) as live:
        live(events[0])
        live(Doing("emulated pi4: running 4 samples"))
        assert "emulated pi4: running 4 samples" in drawn(live)


def test_a_stream_that_is_no_terminal_gets_plain_lines() -> None:
    with progress(io.StringIO()) as listener:
        assert isinstance(listener, PlainLines)


def test_what_is_done_is_shown_behind_a_spinner_before_the_tree_is_known() -> None:
    screen = io.StringIO()
    with LiveTree(Console(file=screen, force_terminal=True, width=80, height=40)) as live:
        live(Note("loading TensorFlow"))
        assert "\x1b[?25l" not in screen.getvalue()
        live(Doing(f"channels/ptq: drafting it untrained {HOSTILE}"))
        assert "\x1b[?25l" in screen.getvalue()
        picture = drawn(live, width=80)
        assert any(f"{sign} channels/ptq: drafting it untrained" in picture for sign in "-\\|/")
        assert "owned" not in picture
        live(NodeStarted("float", "scoring the model as given"))
        assert "float: scoring the model as given" in drawn(live, width=80)


def test_a_search_counts_its_trials_and_then_gives_way_to_the_tree(events: list[Event]) -> None:
    with LiveTree(Console(file=io.StringIO(), force_terminal=True, width=100, height=40)) as live:
        live(SearchProgress(0, 24))
        live(Doing("search: trials 0, 1, 2, 3, untrained"))
        live(NodeStarted("prune", "a worker's"))
        live(TrainingStep("prune", 10, 300, 1, 2, 0.5))
        first = drawn(live)
        live(SearchProgress(5, 24, f"accuracy 0.9722 {HOSTILE}"))
        live(SearchProgress(6, None))
        timed = drawn(live)
        live(SearchProgress(5, 24, f"accuracy 0.9722 {HOSTILE}"))
        later = drawn(live)
        live(events[0])
        tree = drawn(live)
    assert "search: 0 of 24 trials done" in first and "trials 0, 1, 2, 3, untrained" in first
    assert "10/300 steps" in first and "a worker's" not in first
    assert "search: 6 trials done" in timed
    assert "search: 5 of 24 trials done; best so far: accuracy 0.9722 red" in later and "owned" not in later
    assert "search" not in tree and "steps" not in tree and "waiting" in tree


def test_a_log_gets_a_line_for_each_trial_and_none_for_its_nodes(events: list[Event]) -> None:
    log = io.StringIO()
    listener = PlainLines(log)
    told = [SearchProgress(0, 2), NodeStarted("prune", "of a trial"), Note("trial 0, prune/ptq: stopped")]
    for event in (*told, SearchProgress(1, 2), events[0], NodeStarted("prune", "in full")):
        listener(event)
    lines = log.getvalue().splitlines()
    assert lines[0] == "note: trial 0, prune/ptq: stopped" and lines[2] == "prune: in full" and len(lines) == 3

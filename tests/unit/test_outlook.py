from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_models
from armopt.catalog.profiles import find_profile
from armopt.core.errors import ConversionError, ModelError
from armopt.core.events import Event, Note, TrainingStep, silent
from armopt.core.profile import Profile
from armopt.core.records import Latency, Measurement
from armopt.core.target import Target
from armopt.search.drafts import (
    SIZE_MARGIN,
    UNSCORED,
    UNTRAINED,
    Draft,
    Drafts,
    shaping_node,
    speed_path,
    why_too_large,
    why_too_slow,
)
from armopt.search.nodes import NodeBuilder
from armopt.search.outlook import Outlook
from armopt.search.store import Store

LATENCY = Target(max_latency_ms=1.0)


def measured(ms: float | None, instructions: int = 1_000_000) -> Measurement:
    return Measurement(
        device="pi4", runner="qemu", evidence="modelled", runtime="litert", threads=1, freq_mhz=1800, seconds=0.1,
        latency_ms=None if ms is None else Latency(p50=ms), instructions=instructions,
        interval_ms=None if ms is None else (0.9 * ms, 1.1 * ms),
    )  # fmt: skip


class Table:
    """Stands for building and measuring drafts: known functions of the width, and a list of all that was asked."""

    def __init__(self, ms: Callable[[float], float | None], size: int = 100_000) -> None:
        self.ms, self.gz_bytes = ms, size
        self.asked: list[tuple[str, float | None]] = []
        self.settled: dict[str, dict[str, object]] = {}
        self.profile = find_profile("default")

    # What an Outlook asks of drafts.

    def speed(self, path: str, settings: dict[str, Any] | None = None) -> Draft:
        width = (settings or {}).get("width")
        self.asked.append((path, width))
        ms = self.ms(1.0 if width is None else width)
        return Draft(self.gz_bytes, measured(ms, int(1e6 * (ms or 1))))

    def size(self, path: str, settings: dict[str, Any] | None = None) -> Draft:
        self.asked.append((path, None))
        return Draft(self.gz_bytes)

    # What it asks of a builder.

    def settings(self, node: str) -> Any:
        return self.profile.settings_of(node, self.settled.get(node))

    def settle(self, node: str, settings: dict[str, object]) -> None:
        self.settled[node] = settings


def looking(table: Table, target: Target, solve: bool = True, listener: Any = silent) -> Outlook:
    return Outlook(table, table, target, solve, listener)  # type: ignore[arg-type]


def test_the_widest_that_fits_is_settled_before_anything_is_trained_and_told_with_figures() -> None:
    table, told = Table(lambda width: 2 * width**2), list[Event]()
    outlook = looking(table, LATENCY, listener=told.append)
    assert outlook.why_not("channels/ptq") is None
    width = float(str(table.settled["channels"]["width"]))
    assert 2.2 * width**2 <= 1 < 2.2 * (width + 1 / 64) ** 2
    [note] = [event.text for event in told if isinstance(event, Note)]
    assert note.startswith(f"channels: {width:.0%} of the channels may stay: an untrained draft takes ")
    assert "for 1 ms" in note
    asked = len(table.asked)
    assert outlook.why_not("channels/prune/pqat") is None
    assert len(table.asked) == asked + 1  # solved for once, however many leaves there are


def test_where_even_the_narrowest_is_too_slow_no_leaf_below_is_trained_and_the_figures_say_why() -> None:
    table = Table(lambda width: 3.0 + width)
    outlook = looking(table, LATENCY)
    for path in ("channels/ptq", "channels/prune/pqat"):
        reason = outlook.why_not(path)
        assert reason is not None and "even with the fewest channels" in reason
        assert "takes 3.02 ms (2.71 to 3.32) for 1 ms" in reason
    assert not table.settled


def test_a_model_that_is_fast_enough_needs_no_pruning_of_channels() -> None:
    reason = looking(Table(lambda width: 0.5 * width), LATENCY).why_not("channels/ptq")
    assert reason == "the model as given meets the limits on speed with all its channels"


def test_a_leaf_that_keeps_its_shape_is_refused_with_its_figures() -> None:
    reason = looking(Table(lambda width: 2.0), LATENCY).why_not("prune/pqat")
    assert reason is not None
    assert reason.startswith("'prune/pqat' takes 2 ms (1.8 to 2.2, modelled) before any training, over 1 ms")
    assert looking(Table(lambda width: 1.05), LATENCY).why_not("prune/pqat") is None  # not certain


def test_a_width_that_the_user_named_is_not_solved_for() -> None:
    table = Table(lambda width: 2.0)
    reason = looking(table, LATENCY, solve=False).why_not("channels/ptq")
    assert reason is not None and "before any training" in reason
    assert table.asked == [("channels/ptq", 0.5)] and not table.settled


def test_instructions_are_a_limit_of_their_own() -> None:
    table = Table(lambda width: width)
    assert looking(table, Target(max_instructions=500_000)).why_not("channels/ptq") is None
    assert table.settled["channels"]["width"] == pytest.approx(0.5, abs=1 / 64)
    reason = looking(Table(lambda width: 2.0), Target(max_instructions=500_000)).why_not("qat")
    assert reason == "'qat' takes 2,000,000 instructions before any training, over 500,000"


def test_a_device_that_says_nothing_of_latency_refuses_no_shape_but_fits_none_either() -> None:
    outlook = looking(Table(lambda width: None), LATENCY)
    assert outlook.why_not("prune/ptq") is None
    assert outlook.widest("channels", "channels/ptq")[0] is None
    assert "has no figure on this device" in outlook.widest("channels", "channels/ptq")[1]


def test_a_file_that_is_too_large_is_refused_unless_training_may_win_the_rest() -> None:
    limit = Target(max_gz_bytes=95_000)
    assert looking(Table(lambda width: 1.0, 100_000), limit).why_not("prune/ptq") is None
    reason = looking(Table(lambda width: 1.0, 100_100), limit).why_not("prune/ptq")
    assert reason is not None and "100,100 bytes (gzip) before any training, over 95,000" in reason


def test_without_limits_nothing_is_drafted() -> None:
    table = Table(lambda width: 9.0)
    assert looking(table, Target()).why_not("prune/ptq") is None
    assert looking(table, Target(max_drop=0.1)).why_not("prune/ptq") is None
    assert table.asked == []


@pytest.mark.parametrize("error", [ModelError("no channels to prune", "leave them"), ConversionError("refused", "")])
def test_what_cannot_be_drafted_is_left_to_building_which_will_say_so(error: Exception) -> None:
    def refuse(width: float) -> float:
        raise error

    assert looking(Table(refuse), LATENCY).why_not("channels/ptq") is None


def test_a_leaf_is_drafted_by_the_shortest_path_that_is_as_fast() -> None:
    cases = {
        "prune/cluster/pcqat": "ptq",
        "channels/prune/cluster/pcqat": "channels/ptq",
        "prune/16x8": "16x8",
        "prune/sparse": "prune/sparse",  # how fast it is depends on its zeros
    }
    for path, shortest in cases.items():
        assert speed_path(path) == shortest
    assert [shaping_node(path) for path in ("channels/prune/ptq", "prune/ptq")] == ["channels", None]


def test_bounds_are_exact() -> None:
    assert why_too_slow(measured(1.0), Target(max_latency_ms=0.9)) is None
    assert why_too_slow(measured(1.0), Target(max_latency_ms=0.899)) is not None
    assert why_too_slow(measured(None), LATENCY) is None
    assert why_too_large(100, Target()) is None
    assert why_too_large(100, Target(max_gz_bytes=int(100 * (1 - SIZE_MARGIN)))) is None


def test_drafts_train_nothing_score_nothing_and_have_the_width_that_was_asked_for(tmp_path: Path) -> None:
    model = tiny_models.conv2d()
    context = tiny_models.context_for(model)
    tree = ("channels", "channels/ptq", "channels/prune", "channels/prune/ptq")
    common: dict[str, object] = {"epochs": 5, "min_steps": 100, "width_step": 2, "distill": 0.5}
    profile = Profile(name="tiny", tree=tree, common=common)
    told: list[Event] = []
    builder = NodeBuilder(model_source(model), context.data, context.task, profile, {}, False, Store(tmp_path), silent)
    drafts = Drafts(
        lambda settings: builder.apart(UNSCORED, settings, listener=told.append), lambda built: measured(1.0), silent
    )
    sizes = [drafts.size("channels/prune/ptq", {"width": width}).gz_bytes for width in (1.0, 0.5)]
    assert sizes[1] < sizes[0]
    assert drafts.speed("channels/prune/ptq", {"width": 0.5}).measured == measured(1.0)
    assert not any(isinstance(event, TrainingStep) for event in told)
    entries = Store(tmp_path).entries()
    assert all(not entry.record["metrics"] for entry in entries)
    told_of = {entry.key: str(entry.record["notes"]) for entry in entries if entry.node == "channels"}
    [shaped] = [key for key, notes in told_of.items() if "8 -> 4 in each" in notes]
    assert builder.apart(UNSCORED, {**UNTRAINED, "width": 0.5}).key("channels") == shaped


def model_source(model: Any) -> Any:
    from armopt.compress.models import Source

    return Source(model, model.name)


def test_a_settled_width_is_that_of_the_node_that_is_trained(tmp_path: Path) -> None:
    model = tiny_models.conv2d()
    context = tiny_models.context_for(model)
    profile = Profile(name="tiny", tree=("channels", "channels/ptq"))
    builder = NodeBuilder(model_source(model), context.data, context.task, profile, {}, False, Store(tmp_path), silent)
    before = builder.key("channels/ptq")
    builder.settle("channels", {"width": 0.25})
    assert builder.settings("channels").width == 0.25
    assert builder.key("channels/ptq") != before

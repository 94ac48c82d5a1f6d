from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from subjects import emulated, side

import page_runs
from armopt.core.baseline import compare
from armopt.core.errors import StoreError, UsageError
from armopt.core.records import Metric, Result
from armopt.reporting import read_given, write_page
from armopt.show.page.bars import operators_of
from armopt.show.page.model import Given, page_view
from armopt.show.page.page import html_page
from armopt.show.page.pictures import MOST_BYTES, MOST_KERNELS, largest, picture_of
from armopt.show.page.scales import Scale, scale_of
from armopt.show.page.scatter import Leaf, scatters
from armopt.show.page.series import timing_of


class Read(HTMLParser):
    """Elements with their attributes, and all text, as a browser without scripts sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside = ""
        self.inline: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in ("style", "script"):
            self.inline[self._inside] = self.inline.get(self._inside, "") + data
        else:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def page_of(*results: Result) -> str:
    return html_page([Given(result, f"run {number}") for number, result in enumerate(results, 1)])


def test_the_page_says_the_verdict_in_a_sentence() -> None:
    page = page_of(page_runs.run())
    assert "Target met" in page
    assert "is 64.8 kB compressed and reaches accuracy 0.9883, 0.0050 better than the model given." in page


@pytest.mark.parametrize(
    ("verdict", "word"), [("missed", "Target missed"), ("inconclusive", "Inconclusive"), ("unstable", "Unstable")]
)
def test_a_run_that_chose_nothing_says_so(verdict: str, word: str) -> None:
    page = page_of(page_runs.run(verdict=verdict, chosen=None))
    assert word in page
    assert "was found to meet the target (at most 90,000 bytes (gzip), metric drops by at most 0.02)" in page


def test_error_metrics_are_told_the_right_way_round() -> None:
    page = page_of(page_runs.run(metric=Metric(name="mse", higher_is_better=False)))
    assert "0.0050 worse than the model given" in page
    assert "mse (lower is better)" in page


def test_every_figure_is_there_as_the_result_has_it() -> None:
    result = page_runs.run()
    exact = [attributes.get("value") for tag, attributes in Read(page_of(result)).elements if tag == "data"]
    for node in result.nodes:
        for value in (node.gz_bytes, node.accuracy.int8, node.latency_ms and node.latency_ms.p50, node.instructions):
            assert value is None or repr(value) in exact


def test_nothing_but_the_files_own_style_and_script_may_run_or_load() -> None:
    read = Read(page_of(page_runs.run()))
    policy = next(a["content"] for _, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:; ")
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(read.inline[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    for tag, attributes in read.elements:
        for name, value in attributes.items():
            assert not name.startswith("on") and name != "style"
            if name in ("src", "href", "srcset", "action", "data"):
                assert (value or "").startswith(("#", "data:image/svg+xml;base64,")), (tag, name, value)
    assert not {"iframe", "object", "embed", "base", "form", "link"} & {tag for tag, _ in read.elements}
    assert "url(" not in read.inline["style"] and "@import" not in read.inline["style"]


def test_hostile_names_are_text() -> None:
    page = page_of(page_runs.hostile(), page_runs.hostile())
    read, plain = Read(page), Read(page_of(page_runs.run()))
    assert read.inline == plain.inline
    assert {tag for tag, _ in read.elements} <= {tag for tag, _ in plain.elements} | {"thead", "ul", "path", "rect"}
    assert "\u202e" not in page and "&#8238;" not in page
    assert "<script>window.owned=1</script>]]>" in "".join(read.text)
    assert "{{7*7}}" in page and "49" not in read.text
    assert len(max(read.text, key=len)) < 5_000
    assert max(len(value or "") for _, attributes in read.elements for value in attributes.values()) < 5_000


def test_a_run_beside_its_baseline_shows_what_changed() -> None:
    worse = compare(emulated((side(0),)), emulated((side(0), side(1, "ADD", 5_000))), 0.01)
    text = " ".join(Read(page_of(page_runs.run(comparison=worse))).text)
    assert "Against the baseline" in text and "REGRESSED by more than 1%" in text
    assert "105,000" in text and "#1 ADD" in text and "new operator" in text
    assert "Against the baseline" not in page_of(page_runs.run())


def test_hostile_names_of_a_baseline_are_text() -> None:
    named = emulated((side(0, page_runs.HOSTILE),), model=page_runs.HOSTILE)
    hostile = compare(named, emulated((side(0, page_runs.HOSTILE, 900_000),)), 0.01)
    read, plain = Read(page_of(page_runs.run(comparison=hostile))), Read(page_of(page_runs.run()))
    assert read.inline == plain.inline
    assert {tag for tag, _ in read.elements} <= {tag for tag, _ in plain.elements}


def test_what_was_skipped_says_why() -> None:
    nodes = page_runs.run().nodes
    skipped = nodes[2].model_copy(update={"status": "skipped", "reason": "can't help size on pi4"})
    text = " ".join(Read(page_of(page_runs.run(nodes=(*nodes[:2], skipped, *nodes[3:])))).text)
    assert "skipped" in text and "can't help size on pi4" in text


def test_several_runs_stand_side_by_side() -> None:
    view = page_view([Given(page_runs.run(), "one"), Given(page_runs.run(device="pi5"), "two")])
    assert [run.name for run in view.runs] == ["one", "two"]
    assert [figure.name for figure in view.runs[0].compared] == [figure.name for figure in view.runs[1].compared]
    assert {point.series for point in view.charts[0].points} == {0, 1}
    identifiers = [attributes["id"] for _, attributes in Read(html_page([Given(page_runs.run(), "a")] * 2)).elements
                   if "id" in attributes]  # fmt: skip
    assert len(set(identifiers)) == len(identifiers)


def test_other_metrics_do_not_share_a_chart() -> None:
    other = page_runs.run(metric=Metric(name="mse", higher_is_better=False))
    assert page_view([Given(page_runs.run(), "one"), Given(other, "two")]).charts == ()


def test_a_single_measurement_has_no_tree_but_its_series(tmp_path: Path) -> None:
    document = {
        **json.loads(page_runs.node(2, "ptq").model_dump_json(by_alias=True)),
        "schema_version": 1, "target": {"max_latency_ms": 1.0}, "verdict": "missed", "by_threads": [],
        **json.loads(page_runs.measurement(**page_runs.timed()).model_dump_json()),
    }  # fmt: skip
    (tmp_path / "board.json").write_text(json.dumps(document))
    given = read_given(tmp_path / "board.json")
    page = html_page([given])
    assert "Target missed" in page and "on a pi4 (mypi)" in page
    assert "480 inferences in 12 processes, in order" in page
    assert 'role="tree"' not in page


@pytest.mark.parametrize("content", ["", "[]", "{", '{"runner": "qemu"}', '{"nodes": []}', "null", '{"a":' * 5000])
def test_what_is_no_result_is_refused_in_a_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UsageError, match=r"is not a result|is no measurement"):
        read_given(tmp_path)


def test_a_page_that_can_not_be_written_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="name another file with -o"):
        write_page([Given(page_runs.run(), "run")], tmp_path / "none" / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_points_say_in_words_what_their_place_says() -> None:
    [run] = page_view([Given(page_runs.run(), "run")]).runs
    assert {chart.key for chart in run.charts} == {"latency", "instructions", "size"}
    latency = next(chart for chart in run.charts if chart.key == "latency")
    chosen = [point for point in latency.points if point.chosen]
    assert len(latency.points) == 8 and len(chosen) == 1
    assert chosen[0].label.startswith(
        "prune/cluster/ptq: metric 0.9883, 64.8 kB gzip, 1.03 ms modelled (0.825 to 1.23)"
    )
    assert chosen[0].best and chosen[0].whisker is not None
    size = next(chart for chart in run.charts if chart.key == "size")
    assert [line.words for line in size.x_lines] == ["limit"]
    assert sorted(line.words for line in size.y_lines) == ["limit", "model given"]


def test_a_chart_comes_first_if_it_parts_the_leaves() -> None:
    same = tuple(
        node.model_copy(update={"latency_ms": node.latency_ms and node.latency_ms.model_copy(update={"p50": 1.3})})
        for node in page_runs.run().nodes
    )
    [run] = page_view([Given(page_runs.run(nodes=same), "run")]).runs
    assert run.charts[0].key == "size"


def test_points_in_one_place_do_not_hide_each_other() -> None:
    result = page_runs.run()
    leaf = Leaf(result.nodes[1], result, "a", 1, 0)
    points = scatters([leaf, leaf, leaf])[0].points
    assert len({(point.x, point.y, point.shift) for point in points}) == 3


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [1e-9, 2e-9], [1e12, 3e12], [-1.0, 1.0], [0.98, 0.9801]])
def test_scales_hold_all_values_and_have_ticks_inside(values: list[float]) -> None:
    scale = scale_of(values)
    assert scale is not None
    assert all(scale.low <= value <= scale.high for value in values)
    assert scale.ticks()
    assert len({tick.words for tick in scale.ticks()}) == len(scale.ticks())


def test_scales_leave_out_what_is_no_number() -> None:
    assert scale_of([float("nan"), float("inf")]) is None
    assert scale_of([float("nan"), 2.0]) == scale_of([2.0])
    assert Scale(0, 10).at(20) == "100%" and Scale(0, 10, upright=True).at(2.5) == "75%"


def test_operators_before_and_after_are_matched_by_place_or_by_kind() -> None:
    found = page_runs.run().measurements
    both = operators_of(found, "prune/cluster/ptq")
    assert both is not None and both.alike and both.paths == ("ptq", "prune/cluster/ptq")
    assert len(both.rows) == 21 and {row.change for row in both.rows[:20]} == {"-10%"}
    assert both.rows[0].bars[0].width == "100%"
    shorter = {**found, "prune/cluster/ptq": page_runs.measurement(operators=page_runs.operators(19))}
    by_kind = operators_of(shorter, "prune/cluster/ptq")
    assert by_kind is not None and not by_kind.alike
    assert {row.name for row in by_kind.rows} == {"CONV_2D", "DEPTHWISE_CONV_2D", "runtime"}
    alone = operators_of({"ptq": found["ptq"]}, "ptq")
    assert alone is not None and [len(row.bars) for row in alone.rows] == [1] * 21


def test_a_result_without_operators_says_how_to_get_them() -> None:
    bare = page_runs.measurement(operators=None)
    assert "armopt report --operators" in page_of(page_runs.run(measurements={"ptq": bare}))
    assert "armopt report --operators" in page_of(page_runs.run(measurements={}))


def test_raw_latencies_are_drawn_in_order_and_thinned_out_when_many() -> None:
    few = timing_of("ptq", page_runs.measurement(**page_runs.timed()))
    assert few is not None
    raw, heat, mhz, p50, temperature, clock = few.charts
    assert (heat.label, heat.words, mhz.words) == ("temperature (°C)", "from 50 to 61", "1,800 throughout")
    assert len(heat.dots) == 12 and heat.dots[-1][0] == "100%"
    assert len(raw.dots) == 480 and len(raw.starts) == 11 and [words for _, words in raw.levels] == ["p50", "p95"]
    assert (p50.label, temperature.label, clock.label) == ("p50 (ms)", "temperature (°C)", "clock (MHz)")
    facts = {fact.name: fact.text for fact in few.facts}
    assert facts["temperature"] == "48 °C before, 62 °C after" and facts["throttled"] == "no"
    many = page_runs.timed(rounds=30, each=2000)
    slowest = max(value for one in many["rounds"] for value in one)
    drawn = timing_of("ptq", page_runs.measurement(**many))
    assert drawn is not None and len(drawn.charts[0].dots) <= 1600
    scale = scale_of([value for one in many["rounds"] for value in one], upright=True)
    assert scale is not None and scale.at(slowest) in {y for _, y in drawn.charts[0].dots}
    assert timing_of("ptq", page_runs.measurement()) is None


def test_the_largest_kernels_are_embedded_with_their_words(tmp_path: Path) -> None:
    names = [f"layer{number}/kernel" for number in range(MOST_KERNELS + 2)] + [f"<script>{page_runs.HOSTILE[:30]}"]
    page_runs.draw_kernels(tmp_path / "plots", names)
    (tmp_path / "result.json").write_text(page_runs.run().model_dump_json(by_alias=True))
    given = read_given(tmp_path)
    assert len(given.pictures) == len(names)
    kept = largest(given.pictures, 10**7)
    assert [picture.weights for picture in kept] == sorted((p.weights for p in given.pictures), reverse=True)[:6]
    assert "distinct values" in kept[1].words and kept[1].title == "layer7/kernel"
    assert largest(given.pictures, kept[0].size_bytes) == kept[:1]
    images = [attributes for tag, attributes in Read(html_page([given])).elements if tag == "img"]
    assert len(images) == MOST_KERNELS
    assert all((image["src"] or "").startswith("data:image/svg+xml;base64,") and image["alt"] for image in images)


@pytest.mark.parametrize(
    "inside",
    ["<script>1</script>", "<image xlink:href='http://x/'/>", "<g onload='1'/>", "<style>@import 'a'</style>",
     "<g fill='url(http://x/)'/>", "<foreignObject/>", "<!ENTITY a 'b'>", " " * MOST_BYTES],
)  # fmt: skip
def test_pictures_that_are_not_ours_are_left_out(inside: str) -> None:
    shell = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">{}</svg>'
    assert picture_of("001-a.svg", shell.format("<g/>").encode()) is not None
    assert picture_of("001-a.svg", shell.format(inside).encode()) is None
    assert picture_of("001-a.svg", b"\x00\xff") is None


def test_links_in_a_runs_folder_are_not_followed(tmp_path: Path) -> None:
    page_runs.draw_kernels(tmp_path / "elsewhere", ["secret/kernel"])
    (tmp_path / "plots").mkdir()
    [svg] = (tmp_path / "elsewhere").glob("*.svg")
    (tmp_path / "plots" / "001-x.svg").symlink_to(svg)
    (tmp_path / "result.json").write_text(page_runs.run().model_dump_json(by_alias=True))
    assert read_given(tmp_path).pictures == ()


def test_the_command_is_shown_as_a_shell_takes_it() -> None:
    text = "".join(Read(page_of(page_runs.run())).text)
    assert "armopt deploy --data digits --out 'a folder'" in text
    assert "No command is kept" in page_of(page_runs.run(command=()))


def test_pages_of_equal_runs_are_equal_files() -> None:
    assert page_of(page_runs.run()) == page_of(page_runs.run())
    assert re.search(r"<title>digits_ds_cnn on an emulated pi4</title>", page_of(page_runs.run()))

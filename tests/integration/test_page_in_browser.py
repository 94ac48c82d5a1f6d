from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Seen, chromium, opened

import page_runs
from armopt.cli.main import run as armopt

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

_MOST_BYTES = 5_000_000
# What the table of nodes shows, and where result.json has it.
_SHOWN = {
    "accuracy": lambda node: node["accuracy"]["int8"] or node["accuracy"]["float"],
    "gzip": lambda node: node["gz_bytes"],
    "zeros": lambda node: node["sparsity"],
    "codes": lambda node: node["max_codes"],
    "latency p50": lambda node: node["latency_ms"] and node["latency_ms"]["p50"],
    "instructions": lambda node: node["instructions"],
}

_ROWS = """[...document.querySelectorAll("table.nodes tbody tr")].map((row) => ({
    path: row.querySelector("th").innerText, status: row.cells[2].innerText,
    figures: Object.fromEntries([...row.querySelectorAll("[data-figure]")].map((cell) => [
        cell.dataset.figure, [cell.querySelector("data")?.value ?? null, cell.innerText.trim()]])),
}))"""


def written(folder: Path, *results: Any) -> Path:
    """The page of runs in folders of their own, by the command."""
    folders = []
    for number, result in enumerate(results):
        place = folder / f"run{number}"
        place.mkdir(parents=True)
        (place / "result.json").write_text(result.model_dump_json(by_alias=True))
        folders.append(str(place))
    assert armopt(["report", *folders, "-o", str(folder / "page.html")]) == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with twelve nodes, pictures of eighteen kernels, and a board's raw latencies."""
    folder = tmp_path_factory.mktemp("page")
    result = page_runs.run()
    board = page_runs.measurement(**page_runs.timed())
    measured = {**result.measurements, "cluster/ptq": board}
    plots = folder / "run0" / "plots"
    page_runs.draw_kernels(plots, ["conv/kernel", "block/kernel"])
    for number in range(3, 19):
        shutil.copy(
            plots / f"00{1 + number % 2}-{'block' if number % 2 else 'conv'}_kernel.svg", plots / f"{number:03d}-x.svg"
        )
    (folder / "run0" / "result.json").write_text(
        result.model_copy(update={"measurements": measured}).model_dump_json(by_alias=True)
    )
    assert armopt(["report", str(folder / "run0"), "-o", str(folder / "page.html")]) == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("hostile"), page_runs.hostile(), page_runs.hostile())


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    other = page_runs.run(device="pi5", verdict="missed", chosen=None)
    return written(tmp_path_factory.mktemp("together"), page_runs.run(), other)


@pytest.fixture(params=["page", "hostile", "together"])
def any_page(request: pytest.FixtureRequest) -> Path:
    file: Path = request.getfixturevalue(request.param)
    return file


def picked(seen: Seen) -> set[str]:
    """Which node tree, details and plots show as picked."""
    found = "(all) => all.map((one) => one.dataset.pick || one.id)"
    everywhere: list[str] = seen.page.eval_on_selector_all(".picked", found)
    return set(everywhere)


def test_nothing_is_said_and_nothing_leaves_the_file(browser: Any, any_page: Path) -> None:
    with opened(browser, any_page) as seen:
        for image in seen.page.query_selector_all("img"):
            assert image.evaluate("async (one) => { await one.decode(); return one.naturalWidth }") > 100
        assert seen.page.evaluate("window.owned") is None
        assert seen.is_clean(any_page), (seen.said, seen.asked)
    assert any_page.stat().st_size < _MOST_BYTES


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [("page", 360, True), ("page", 1280, False), ("hostile", 360, False), ("together", 1280, True)],
)
def test_axe_finds_no_violation(
    request: pytest.FixtureRequest, browser: Any, name: str, width: int, dark: bool
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # axe.min.js is run in the page, which the page's own policy would not let it.
    with opened(browser, request.getfixturevalue(name), width=width, dark=dark, bypass_csp=True) as seen:
        found = Axe().run(seen.page).response["violations"]
    assert [(one["id"], one["impact"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []


def test_no_width_makes_the_page_scroll_sideways(browser: Any, any_page: Path) -> None:
    with opened(browser, any_page) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        for width in (320, 360, 700, 1280):
            seen.page.set_viewport_size({"width": width, "height": 800})
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width


def test_the_table_says_what_the_result_says(browser: Any, page: Path) -> None:
    document = json.loads((page.parent / "run0" / "result.json").read_text())
    with opened(browser, page) as seen:
        rows = seen.page.evaluate(_ROWS)
        assert len(rows) == len(document["nodes"]) == 12
        for row, node in zip(rows, document["nodes"], strict=True):
            assert row["path"] == node["path"] and node["status"] in row["status"]
            for name, of in _SHOWN.items():
                exact, text = row["figures"][name]
                assert (None if exact is None else float(exact)) == of(node)
                assert (text == "") == (of(node) is None)
        first, chosen = (document["measurements"][path]["operators"] for path in ("ptq", document["chosen"]))
        times = "(all) => all.map((one) => one.value)"
        shown = [float(value) for value in seen.page.eval_on_selector_all("table.operators data", times)]
        assert sorted(shown) == sorted(one["latency_ms"] for one in (*first, *chosen))
        dots = seen.page.query_selector_all(".timing .dots:first-of-type .dot")
        assert len(dots) == sum(map(len, document["measurements"]["cluster/ptq"]["rounds"]))


def test_the_tree_is_walked_and_picked_from_by_keyboard(browser: Any, page: Path) -> None:
    with opened(browser, page) as seen:
        tree = seen.page.locator("[role=tree]")
        assert tree.locator("[tabindex='0']").count() == 1
        for _ in range(40):
            seen.page.keyboard.press("Tab")
            if seen.page.evaluate("document.activeElement.getAttribute('role')") == "treeitem":
                break
        current = "document.activeElement.dataset.pick"
        assert seen.page.evaluate(current) == "run1-node11"  # the chosen one
        visited = []
        for key in ("Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "End", "ArrowUp"):
            seen.page.keyboard.press(key)
            visited.append(seen.page.evaluate(current).removeprefix("run1-node"))
        # float, ptq, qat, prune, prune/ptq, prune again; the last one, and the one above it.
        assert visited == ["1", "2", "3", "4", "6", "4", "10", "9"]
        assert picked(seen) == {"run1-node11"}
        seen.page.keyboard.press("Enter")
        assert picked(seen) == {"run1-node9"}
        assert seen.page.locator("#run1-node9").is_visible() and not seen.page.locator("#run1-node11").is_visible()
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.getAttribute('role')") != "treeitem"


def test_a_point_tells_its_figures_and_can_be_picked(browser: Any, page: Path) -> None:
    with opened(browser, page) as seen:
        point = seen.page.locator(".by-latency .point[data-pick='run1-node2']")
        seen.page.get_by_role("radio", name="compressed size").check()
        assert not point.is_visible() and seen.page.locator(".by-size .point").first.is_visible()
        seen.page.get_by_role("radio", name="latency p50").check()
        point.hover()
        assert seen.page.locator("#tip").inner_text().startswith("ptq: metric 0.9733")
        seen.page.keyboard.press("Escape")
        assert not seen.page.locator("#tip").is_visible()
        point.focus()
        assert seen.page.locator("#tip").is_visible()
        seen.page.keyboard.press("Enter")
        assert picked(seen) == {"run1-node2"}
        seen.page.locator("table.nodes a", has_text="prune/pqat").click()
        assert picked(seen) == {"run1-node7"}
        assert seen.page.locator("#run1-node7").is_visible()


def test_a_pick_in_one_run_leaves_the_others(browser: Any, together: Path) -> None:
    with opened(browser, together) as seen:
        seen.page.locator(".together .point[data-pick='run2-node6']:visible").first.click(force=True)
        assert {"run1-node11", "run2-node6"} <= picked(seen) and "run2-node2" not in picked(seen)


def test_it_is_readable_without_scripts(browser: Any, page: Path) -> None:
    with opened(browser, page, java_script_enabled=False) as seen:
        text = seen.page.locator("body").inner_text()
    for words in ("Target met", "prune/cluster/pcqat", "Where the time goes", "armopt deploy --data digits"):
        assert words in text


def test_paper_has_all_of_it_in_dark_ink(browser: Any, page: Path) -> None:
    with opened(browser, page, dark=True) as seen:
        seen.page.emulate_media(media="print", color_scheme="dark")
        ink = seen.page.evaluate("getComputedStyle(document.body).color")
        assert max(int(part) for part in ink.removeprefix("rgb(").removesuffix(")").split(",")) < 60
        sheets = seen.page.pdf(format="A4")
        assert sheets.startswith(b"%PDF") and 3 <= sheets.count(b"/Type /Page\n") <= 14
        assert seen.page.evaluate("document.querySelectorAll('details:not([open])').length") > 0  # folded up again

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

from armopt.catalog.profiles import find_profile
from armopt.cli.main import run
from armopt.core.records import Node, Result
from armopt.core.tree import preserved_at
from armopt.delivery import read_result
from armopt.show.tree import drawn_tree
from armopt.show.tree_nodes import edge_of, in_family_order, tree_of_profile, tree_of_result
from armopt.show.tree_plot import tree_picture

DEFAULT = find_profile("default")
NO_HELP = [{"path": path, "helps": ["size"] if path == "prune" else []} for path in DEFAULT.tree]


@pytest.fixture
def whole(result: Result) -> Result:
    """The run of the fixtures with all the nodes that its nodes stand below."""
    more = [Node(path=path, status="trained", work="cluster to 16 values") for path in ("cluster", "prune/cluster")]
    return result.model_copy(update={"nodes": (*result.nodes, *more)})


def printed(result: Result, width: int = 110) -> str:
    page = Console(width=width, file=io.StringIO(), highlight=False)
    for part in drawn_tree(tree_of_result(result)):
        page.print(part)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


@pytest.mark.parametrize(
    ("path", "edge"),
    [
        ("ptq", ("no training",)),
        ("prune", ("fine-tuning",)),
        ("prune/pqat", ("fine-tuning", "keeps zeros")),
        ("cluster/ptq", ("no training", "keeps codes")),
        ("prune/cluster/pcqat", ("fine-tuning", "keeps zeros and codes")),
        ("prune/float16", ("no training", "keeps zeros")),
    ],
)
def test_an_edge_says_whether_it_trains_and_what_it_keeps(path: str, edge: tuple[str, ...]) -> None:
    assert edge_of(path) == edge


def test_what_is_preserved_is_what_the_ancestors_made() -> None:
    assert [preserved_at(path) for path in ("prune", "prune/cluster", "prune/cluster/pcqat", "cluster/cqat")] == [
        (),
        ("zeros",),
        ("zeros", "codes"),
        ("codes",),
    ]


def test_families_stand_together() -> None:
    order = in_family_order(["ptq", "prune", "cluster", "prune/ptq", "cluster/ptq", "prune/cluster", "prune/cluster/x"])
    assert order == ["ptq", "prune", "prune/ptq", "prune/cluster", "prune/cluster/x", "cluster", "cluster/ptq"]


def test_the_terminal_shows_what_was_reached_and_why_not(whole: Result) -> None:
    lines = printed(whole).splitlines()
    text = "\n".join(lines)
    assert lines[0] == "digits on pi4, latency modelled: met"
    chosen = next(number for number, line in enumerate(lines) if "met, chosen" in line)
    assert lines[chosen].startswith("│       ├── ptq  met, chosen  keeps zeros and codes")
    assert (
        "accuracy 0.9750 (-0.0111), 9,123 B gzip, 50% zeros, 255 codes, 0.207 ms (0.17 to 0.261)" in lines[chosen + 1]
    )
    assert "31,022 bytes (gzip) over 20,000" in text
    assert "can't help size on pi4" in text
    assert "\x1b" not in text and "owned" not in text


def test_a_result_without_a_nodes_parent_is_shown_still(result: Result) -> None:
    assert "met, chosen" in printed(result)
    assert "CHOSEN" in drawn(result)
    assert "cluster" in printed(result.model_copy(update={"nodes": result.nodes[-1:]}))


def drawn(result: Result) -> str:
    return "\n".join(text.get_text() for text in tree_picture(tree_of_result(result)).findobj(Text))


def test_the_picture_says_the_same(whole: Result) -> None:
    text = drawn(whole)
    for words in ("met, CHOSEN", "missed", "skipped", "failed", "fine-tuning", "keeps zeros and codes", "9,123 B gzip"):
        assert words in text
    assert "\x1b" not in text and "owned" not in text


def test_no_two_boxes_of_the_picture_touch(whole: Result) -> None:
    from matplotlib.patches import FancyBboxPatch

    for shown in (tree_of_result(whole), tree_of_profile(DEFAULT, "pi4", NO_HELP)):
        boxes = [patch.get_extents() for patch in tree_picture(shown).findobj(FancyBboxPatch)]
        assert len(boxes) == len(shown.nodes)
        assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[place + 1 :])


def test_a_profile_is_drawn_with_what_its_stages_can_help() -> None:
    words = "\n".join(t.get_text() for t in tree_picture(tree_of_profile(DEFAULT, "pi4", NO_HELP)).findobj(Text))
    assert "can help size on pi4" in words and "50% zeros" in words


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_command_draws_a_run(
    ending: str, whole: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "result.json").write_text(whole.model_dump_json(by_alias=True))
    picture = tmp_path / f"tree.{ending}"
    assert run(["tree", "--show", str(tmp_path), "--plot", str(picture)]) == 0
    said = capsys.readouterr()
    assert "met, chosen" in said.out and str(picture) in said.err
    if ending == "png":
        with Image.open(picture) as image:
            assert image.width > 800
    else:
        assert picture.read_text().rstrip().endswith("</svg>")


def test_json_of_a_run_is_one_document(whole: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    file.write_text(whole.model_dump_json(by_alias=True))
    assert run(["tree", "--show", str(file), "--plot", str(tmp_path / "t.svg"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    node = next(node for node in document["nodes"] if node["path"] == "prune/cluster/ptq")
    assert (document["chosen"], document["verdict"]) == ("prune/cluster/ptq", "met")
    assert (node["parent"], node["preserves"], node["gz_bytes"]) == ("prune/cluster", ["zeros", "codes"], 9123)


def test_without_a_run_the_profile_is_drawn_or_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tree", "--show"]) == 0
    assert "└── cqat" in capsys.readouterr().out
    assert run(["tree", "--show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"][4]["preserves"] == ["zeros"]
    assert run(["tree"]) == 0
    assert "on pi4 it can help" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--show", "no-such-run"], "no result at 'no-such-run'"),
        (["--plot", "tree.pdf"], "'tree.pdf' is no picture's name; end it in .svg or .png"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(
    line: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tree", *line]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1}', "\x00\xff"])
def test_a_file_that_is_no_result_is_refused_in_a_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "result.json").write_text(content)
    assert run(["tree", "--show", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "is not a result of armopt" in said and said.count("\n") == 1


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tree", "--plot", str(tmp_path / "none" / "tree.svg")]) == 4
    assert "can't be written" in capsys.readouterr().err


def test_a_result_is_read_as_it_was_written(whole: Result, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(whole.model_dump_json(by_alias=True))
    assert read_result(tmp_path) == whole

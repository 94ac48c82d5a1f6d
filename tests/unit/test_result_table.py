from __future__ import annotations

import io

import pytest
from rich.console import Console

from armopt.core.records import Result
from armopt.show.result import result_table, verdict_lines


def printed(result: Result, width: int) -> str:
    page = Console(width=width, file=io.StringIO(), highlight=False)
    for part in (result_table(result), *verdict_lines(result)):
        page.print(part)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


@pytest.mark.parametrize("width", [80, 130])
def test_the_table_fits_and_loses_no_figure(result: Result, width: int) -> None:
    text = printed(result, width)
    assert max(map(len, text.splitlines())) <= width
    for figure in ("0.9833", "-0.0028", "31.0 kB", "50%", "255", "0.207 ms", "0.17 to 0.261", "prune/cluster/pcqat"):
        assert figure in text
    assert "…" not in text


def test_the_verdict_names_the_node_its_reason_and_its_file(result: Result) -> None:
    text = printed(result, 130)
    assert "TARGET MET by 'prune/cluster/ptq': 9,123 bytes (gzip) within 20,000" in text
    assert "armopt-out/digits-pi4/model.tflite" in text


def test_nodes_with_the_same_reason_share_a_line(result: Result) -> None:
    text = printed(result, 130)
    assert "skipped: prune/cluster/pcqat, cluster/ptq: not needed" in text
    assert "missed: ptq: 31,022 bytes (gzip) over 20,000" in text


def test_what_a_model_says_does_not_steer_the_terminal(result: Result) -> None:
    text = printed(result, 130)
    assert "\x1b" not in text
    assert "owned" not in text


def test_an_emulated_latency_is_said_to_be_modelled(result: Result) -> None:
    assert "latency was modelled" in printed(result, 130)


@pytest.mark.parametrize(
    ("verdict", "chosen", "words"),
    [
        ("missed", None, "TARGET MISSED"),
        ("inconclusive", None, "INCONCLUSIVE"),
        (None, "ptq", "BUILT 'ptq'"),
    ],
)
def test_every_verdict_has_its_words(result: Result, verdict: str | None, chosen: str | None, words: str) -> None:
    changed = result.model_copy(update={"verdict": verdict, "chosen": chosen})
    text = printed(changed, 130)
    assert words in text
    assert ("model.tflite" in text) == (chosen is not None)


def test_markup_in_a_name_is_shown_and_not_obeyed(result: Result) -> None:
    node = result.nodes[1].model_copy(update={"reason": "[bold]x[/nonsense]"})
    text = printed(result.model_copy(update={"nodes": (node,)}), 130)
    assert "[bold]x[/nonsense]" in text

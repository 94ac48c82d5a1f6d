from __future__ import annotations

import subprocess
import sys
import warnings
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console, RenderableType

from armopt.core.records import Latency, Measurement, OperatorTime
from armopt.show.kernels import short_kernel, short_shape
from armopt.show.operator_plot import compare_picture, operator_picture
from armopt.show.operators import compare_lines, compare_table, operator_lines, operator_table
from armopt.show.plot_files import save_as

HOSTILE = "../../$\\frac{1}$\x1b]0;owned\x07 \N{SNOWMAN}\u202e<script>-->&\n" + 300 * "x"
CONV = "xnn_qs8_qc8w_igemm_minmax_fp32_ukernel_2x8c8__asm_aarch64_neon_mlal_prfm"


def row(index: int | None, kind: str, latency_ms: float, **told: object) -> OperatorTime:
    core, memory = 0.75 * latency_ms, 0.25 * latency_ms
    fields = {
        "shape": (1, 56, 56, 24),
        "kernel": CONV,
        "bound": "multiply",
        "instructions": round(1e6 * latency_ms),
        "share": latency_ms / 20,
        "advice": "fewer channels" if latency_ms else "",
    }
    parts = {"core_ms": core, "cache_ms": 0.0, "memory_ms": memory, "overhead_ms": 0.0}
    return OperatorTime(index=index, kind=kind, latency_ms=latency_ms, **(fields | parts | told))  # type: ignore[arg-type]


def measured(*rows: OperatorTime) -> Measurement:
    return Measurement(
        device="pi4",
        runner="qemu",
        evidence="modelled",
        runtime="litert 2.1.6",
        threads=1,
        freq_mhz=1800,
        latency_ms=Latency(p50=sum(each.latency_ms for each in rows)),
        interval_ms=(17.0, 23.0),
        operators=rows,
        seconds=1.0,
    )


FOUND = measured(
    *[row(index, "CONV_2D", 2.5 - 0.1 * index) for index in range(12)],
    row(12, "RESHAPE", 0.0, kernel=None, bound=None, instructions=0),
    row(13, "DEPTHWISE_CONV_2D", 0.99, bound="load", advice="a smaller picture"),
    row(None, "runtime", 0.01, kernel=None, bound="overhead", shape=()),
)
FASTER = measured(row(0, "CONV_2D", 8.0), row(1, "HARD_SWISH", 1.5), row(None, "runtime", 0.5, kernel=None, shape=()))


def printed(shown: Sequence[RenderableType], width: int = 80) -> str:
    console = Console(width=width, highlight=False, force_terminal=False)
    with console.capture() as capture:
        for each in shown:
            console.print(each)
    return capture.get()


def test_ten_operators_are_listed_slowest_first_then_the_rest_and_the_whole() -> None:
    text = printed([operator_table(FOUND)])
    indices = [line.split()[0] for line in text.splitlines()[2:12]]
    assert indices == [str(index) for index in range(10)]
    assert "3 others" in text and "runtime" in text
    assert next(line for line in text.splitlines() if " all " in line).split() == ["all", "24.40", "100%"]
    assert "DEPTHWISE" not in text


def test_all_operators_are_listed_on_request_but_none_that_did_not_run() -> None:
    text = printed([operator_table(FOUND, None)])
    assert "DEPTHWISE_CONV_2D" in text and "others" not in text and "RESHAPE" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_is_wide_enough_for_whole_rows(width: int) -> None:
    lines = printed([operator_table(FOUND, None)], width).splitlines()
    assert len(lines) == 2 + 13 + 1 + 2  # head, operators, gap, runtime and all: nothing is folded
    assert max(map(len, lines)) <= width
    assert all("igemm 2x8c8 mlal" in line for line in lines[2:15])


def test_advice_is_given_once_for_all_that_it_holds_for() -> None:
    text = printed(operator_lines(FOUND))
    assert text.count("fewer channels") == 1 and "#0, #1, #2," in text
    assert "not run by themselves, fused or left out by the runtime: #12 RESHAPE" in text
    assert "12 CONV_2D" in text


def test_nobody_is_told_that_zeros_help() -> None:
    assert "pruned and clustered weights take the same time" in " ".join(printed(operator_lines(FOUND)).split())


def test_two_models_are_compared_kind_by_kind() -> None:
    text = printed([compare_table(FOUND, FASTER), *compare_lines(FOUND, FASTER, ("a.tflite", "b.tflite"))])
    cells = {line.split()[0]: line.split()[1:] for line in text.splitlines()[2:] if line.split()}
    assert cells["CONV_2D"] == ["12", "x", "23.40", "1", "x", "8.00", "-15.40", "-66%"]
    assert cells["HARD_SWISH"] == ["-", "1", "x", "1.50", "+1.50"]
    assert cells["DEPTHWISE_CONV_2D"] == ["1", "x", "0.99", "-", "-0.99"]
    assert cells["all"] == ["24.40", "10.00", "-14.40", "-59%"]
    assert "before: a.tflite" in text and "after: b.tflite" in text and "RESHAPE" not in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (CONV, "igemm 2x8c8 mlal"),
        ("xnn_f32_gemm_minmax_ukernel_4x8__asm_aarch64_neonfma_cortex_a75_prfm", "gemm 4x8 fma"),
        ("xnn_qs8_qc8w_gemm_minmax_fp32_ukernel_4x16c4__asm_aarch64_neondot_ld128", "gemm 4x16c4 dot"),
        ("xnn_qd8_f32_qc8w_gemm_minmax_ukernel_4x16c8__neoni8mm", "gemm 4x16c8 i8mm"),
        ("xnn_qs8_qc8w_dwconv_minmax_fp32_ukernel_9p16c__neonv8_mla8_ld64", "dwconv 9p16c"),
        ("xnn_qs8_vaddc_minmax_ukernel__neon_ld64_u32", "vaddc"),
        ("xnn_xx_copy_ukernel__scalar_memcpy", "copy scalar"),
        ("tflite::optimized_ops::HardSwish", "HardSwish"),
        ("_ZNSt17_Function_handlerIFaaEZN6tflite3ops7builtin", "nameless"),
        (None, "-"),
    ],
)
def test_a_kernels_name_is_short_and_keeps_what_decides(name: str | None, expected: str) -> None:
    assert short_kernel(name) == expected


def test_a_shape_is_told_without_its_batch_of_one() -> None:
    assert [short_shape(shape) for shape in ((1, 56, 56, 24), (2, 8), (1,), ())] == ["56x56x24", "2x8", "1", ""]


def words(picture: object) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in picture.findobj(Text))  # type: ignore[attr-defined]


def test_the_picture_has_a_bar_an_operator_cut_into_what_its_time_goes_to() -> None:
    picture = operator_picture(FOUND, "m.tflite")
    bars = picture.axes[0].patches
    assert len(bars) == 2 * 13  # at work and waiting: what takes no time has no colour
    assert sum(bar.get_width() for bar in bars) == pytest.approx(24.39)
    shown = words(picture)
    for text in (
        "m.tflite",
        "24.4 ms (modelled, 17 to 23)",
        "#0 CONV_2D 56x56x24",
        "core at work",
        "waiting for memory",
    ):
        assert text in shown
    assert "waiting for caches" not in shown


def test_the_picture_of_two_models_has_two_bars_a_kind() -> None:
    picture = compare_picture(FOUND, FASTER, ("a.tflite", "b.tflite"))
    assert len(picture.axes[0].patches) == 2 * 4
    assert "after: b.tflite" in words(picture) and "8 ms, 1 x" in words(picture) and "none" in words(picture)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_are_written_as_png_and_svg_and_come_out_the_same_again(tmp_path: Path, ending: str) -> None:
    contents = []
    for _ in range(2):
        save_as(operator_picture(FOUND, "m.tflite"), tmp_path / f"o.{ending}")
        contents.append((tmp_path / f"o.{ending}").read_bytes())
    assert contents[0] == contents[1]
    if ending == "png":
        with Image.open(tmp_path / "o.png") as image:
            assert image.width > 900


def test_hostile_names_are_shown_harmlessly(tmp_path: Path) -> None:
    found = measured(row(0, HOSTILE, 1.0, kernel=HOSTILE), row(None, "runtime", 0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_as(operator_picture(found, HOSTILE), tmp_path / "o.svg")
        save_as(compare_picture(found, found, (HOSTILE, HOSTILE)), tmp_path / "c.svg")
    for path in tmp_path.iterdir():
        assert "script" not in {part.tag.rsplit("}")[-1] for part in xml.parse(path).iter()}
    shown = [operator_table(found), *operator_lines(found), compare_table(found, found)]
    text = printed([*shown, *compare_lines(found, found, (HOSTILE, HOSTILE))])
    assert "\x1b" not in text and "\u202e" not in text and "\x07" not in text


def test_tables_need_neither_matplotlib_nor_tensorflow() -> None:
    code = (
        "import sys; import armopt.show.operators, armopt.measuring, armopt.compress.graph_file;"
        "print([m for m in ('matplotlib', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")

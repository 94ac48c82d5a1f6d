from __future__ import annotations

import subprocess
import sys
import warnings
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from PIL import Image

from armopt.core.densities import KernelDensities, code_density, level_density, value_density
from armopt.show.plot_files import MADE_HERE, file_stem, save_picture
from armopt.show.plots import kernel_picture

HOSTILE = "../../$\\frac{1}$\x1b]0;owned\x07 \N{SNOWMAN}\u202e<script>-->&\n" + 300 * "x"


def kernel(name: str = "conv/kernel", title: str = "float") -> KernelDensities:
    values = np.random.default_rng(1).normal(size=(3, 3, 8, 16)).astype(np.float32)
    pruned = np.where(np.abs(values) < 0.67, 0, values)
    levels = np.round(np.clip(pruned, -1, 1) * 7) * 18
    codes = levels.astype(np.int8)
    steps = (
        value_density(title, values, 5.0),
        value_density("prune", pruned, 5.0),
        level_density("cluster", levels),
        code_density("pcqat, .tflite", [(codes, codes == 0)]),
    )
    return KernelDensities(name, values.shape, steps)


def words(picture: object) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in picture.findobj(Text))  # type: ignore[attr-defined]


def test_a_panel_says_what_a_reader_asks_of_it() -> None:
    made = kernel()
    shown = words(kernel_picture(made))
    for text in ("conv/kernel", "1,152 weights, 3 x 3 x 8 x 16", "float", "prune", "cluster", "pcqat, .tflite"):
        assert text in shown
    assert f"{made.steps[0].distinct:,} distinct values, no zeros" in shown
    assert f"{made.steps[3].distinct} distinct codes" in shown
    assert f"{made.steps[1].zeros:.0%} zeros" in shown


def test_equal_things_have_equal_axes() -> None:
    panels = kernel_picture(kernel()).axes
    assert panels[0].get_xlim() == panels[1].get_xlim()
    assert panels[0].get_ylim() == panels[1].get_ylim()
    low, high = panels[3].get_xlim()
    assert low < -128 and high > 127


def test_codes_are_drawn_as_one_stem_each() -> None:
    made = kernel()
    stems = next(part for part in kernel_picture(made).axes[3].collections if isinstance(part, LineCollection))
    assert [segment[0][0] for segment in stems.get_segments()] == made.steps[3].places.tolist()
    heights = [segment[1][1] for segment in stems.get_segments()]
    assert heights == pytest.approx(100 * made.steps[3].shares)


def test_pictures_are_written_as_png_and_svg_and_come_out_the_same_again(tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        save_picture(kernel_picture(kernel()), tmp_path, "001-conv")
        contents.append([(tmp_path / f"001-conv.{ending}").read_bytes() for ending in ("png", "svg")])
    assert contents[0] == contents[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["001-conv.png", "001-conv.svg"]
    with Image.open(tmp_path / "001-conv.png") as image:
        assert image.width > 1000 and len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 50


def test_a_hostile_name_is_drawn_harmlessly_and_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_picture(kernel_picture(kernel(HOSTILE, HOSTILE)), tmp_path, file_stem(1, HOSTILE))
    assert len(list(tmp_path.iterdir())) == 2
    names = {part.tag.rsplit("}")[-1] for part in xml.parse(next(tmp_path.glob("*.svg"))).iter()}
    assert "script" not in names


@given(st.text(max_size=200), st.integers(1, 5000))
def test_any_name_makes_a_file_name_of_ours(name: str, number: int) -> None:
    stem = file_stem(number, name)
    assert MADE_HERE.match(f"{stem}.svg")
    assert Path(stem).name == stem and len(stem) <= 80 and stem.isascii()


@pytest.mark.parametrize(
    "values", [np.zeros(8), np.ones(1), np.full((3, 3), -0.5), np.array([np.nan, 1.0, 0.0])], ids=str
)
def test_odd_kernels_are_drawn_too(values: np.ndarray, tmp_path: Path) -> None:
    save_picture(
        kernel_picture(KernelDensities("odd", values.shape, (value_density("float", values, 1.0),))),
        tmp_path,
        "001-odd",
    )
    assert (tmp_path / "001-odd.png").stat().st_size > 2000


def test_pyplot_and_the_users_settings_are_left_alone(tmp_path: Path) -> None:
    code = (
        "import matplotlib, sys; matplotlib.use('svg'); matplotlib.rcParams['font.size'] = 31;"
        "before = dict(matplotlib.rcParams);"
        "import numpy as np;"
        "from armopt.core.densities import KernelDensities, value_density;"
        "from armopt.show.plots import kernel_picture;"
        "k = KernelDensities('k', (9,), (value_density('float', np.arange(9.0), 9.0),));"
        "assert kernel_picture(k)._repr_png_()[:4] == b'\\x89PNG';"
        "assert dict(matplotlib.rcParams) == before, 'settings changed';"
        "print('matplotlib.pyplot' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout.split(), done.stderr) == (["False", "False"], "")

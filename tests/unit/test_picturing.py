from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import armopt
import tiny_models
from armopt.compress.densities import Step, tensors_of
from armopt.compress.models import Source
from armopt.core.errors import UsageError
from armopt.core.events import Event, Note
from armopt.core.profile import Profile
from armopt.picturing import clear_plots, plot_run
from armopt.search.nodes import NodeBuilder
from armopt.search.store import Store

QUICK = {"epochs": 1, "min_steps": 0, "batch_size": 32}
PATH = "prune/cluster/pcqat"


def builder(folder: Path, model: Any, listener: Any = lambda event: None) -> NodeBuilder:
    context = tiny_models.context_for(model)
    profile = Profile(name="tiny", tree=("prune", "prune/cluster", PATH), common={**QUICK, "clusters": 8})
    return NodeBuilder(
        Source(model, model.name), context.data, context.task, profile, {}, False, Store(folder), listener
    )


def texts(picture: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in picture.findobj(Text))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    model = tiny_models.conv2d()
    x = tiny_models.samples((8, 8, 3))
    data = (x, tiny_models.labels(x))
    pruned = armopt.prune(model, data, sparsity=0.75, **QUICK)
    quantized = armopt.quantize(pruned, data, **QUICK)
    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    armopt.export(quantized, data, path)
    return {"float": model, "prune": pruned, "pqat": quantized}, path


def test_a_notebook_plots_one_kernel_from_float_to_its_codes(exported: tuple[dict[str, Any], Path]) -> None:
    models, path = exported
    shown = texts(armopt.density_plot(models, path, layer="conv"))
    for text in ("conv/kernel", "216 weights, 3 x 3 x 3 x 8", "float", "prune", "pqat", "model.tflite", "INT8 code"):
        assert text in shown
    assert shown.count("75% zeros") >= 2


def test_by_default_the_kernel_with_the_most_weights_is_plotted(exported: tuple[dict[str, Any], Path]) -> None:
    assert "second/kernel" in texts(armopt.density_plot(exported[0]))
    assert "out/kernel" in texts(armopt.density_plot(exported[0], layer="out/kernel"))


def test_a_notebook_shows_the_picture_without_a_backend(exported: tuple[dict[str, Any], Path]) -> None:
    assert armopt.density_plot(exported[0])._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_what_cannot_be_plotted_is_told_in_a_line(exported: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    models, _ = exported
    with pytest.raises(UsageError, match="no layer 'cnov' with a kernel; layers: conv/kernel, second/kernel"):
        armopt.density_plot(models, layer="cnov")
    with pytest.raises(UsageError, match="no models"):
        armopt.density_plot({})
    with pytest.raises(UsageError, match="not found"):
        armopt.density_plot(models, tmp_path / "none.tflite")
    with pytest.raises(UsageError, match=r"'hidden/kernel' of the last model is not to be found in .*model\.tflite"):
        armopt.density_plot({"another": tiny_models.dense()}, exported[1])


@pytest.mark.parametrize(("name", "tensors"), [("LSTM", 4), ("nested", 1)])
def test_kernels_are_found_in_the_file_where_it_splits_them_or_the_model_nests_them(
    name: str, tensors: int, tmp_path: Path
) -> None:
    model = tiny_models.BUILDERS[name]()
    x = tiny_models.samples(tuple(model.inputs[0].shape[1:]))
    armopt.export(model, (x, tiny_models.labels(x)), tmp_path / "model.tflite")
    kernels = Step.of("float", model, armopt.Constraints()).kernels
    found = tensors_of(tmp_path / "model.tflite", kernels)
    assert set(found) == set(kernels)
    assert len(found[next(iter(kernels))]) == tensors


def test_a_run_draws_every_kernel_once_a_second_run_from_the_store_too(tmp_path: Path) -> None:
    model = tiny_models.conv2d()
    drawn = []
    for run in ("first", "again"):
        told: list[Event] = []
        built = builder(tmp_path / "store", model)
        assert built.build(PATH).cached == (run == "again")
        plot_run(built, PATH, tmp_path / run, told.append)
        drawn.append({file.name: file.read_bytes() for file in (tmp_path / run / "plots").iterdir()})
        assert isinstance(told[-1], Note) and "density plots of 3 kernels" in told[-1].text
    names = ("001-conv_kernel", "002-second_kernel", "003-out_kernel")
    assert sorted(drawn[0]) == [f"{name}.{ending}" for name in names for ending in ("png", "svg")]
    assert drawn[0] == drawn[1]


def test_pictures_of_another_run_go_and_what_the_user_put_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    folder.mkdir()
    for name in ("001-conv_kernel.png", "001-conv_kernel.svg", "mine.png"):
        (folder / name).touch()
    clear_plots(tmp_path)
    assert [file.name for file in folder.iterdir()] == ["mine.png"]
    (folder / "mine.png").unlink()
    clear_plots(tmp_path)
    assert not folder.exists()


def test_a_run_without_a_chosen_node_draws_nothing_and_leaves_no_old_pictures(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "001-old.svg").touch()
    told: list[Event] = []
    plot_run(builder(tmp_path / "store", tiny_models.dense()), None, tmp_path, told.append)
    assert not (tmp_path / "plots").exists() and told == []


def test_where_pictures_cannot_be_written_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file where the folder should be")
    built = builder(tmp_path / "store", tiny_models.dense())
    built.build(PATH)
    told: list[Event] = []
    plot_run(built, PATH, tmp_path, told.append)
    assert isinstance(told[-1], Note) and told[-1].text.startswith("no density plots: ")

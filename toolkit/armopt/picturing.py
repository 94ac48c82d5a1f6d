"""Pictures of models and runs: takes weights from `compress` and `search`, has them drawn by `show`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armopt.compress.densities import Step, kernel_densities, tensors_of
from armopt.compress.models import as_source
from armopt.compress.projection import constraints_of
from armopt.core.errors import UsageError
from armopt.core.events import Doing, Listener, Note
from armopt.core.records import Result
from armopt.core.tree import ROOT, ancestors_of, stage_of
from armopt.search.nodes import NodeBuilder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "plots"
# A picture takes about 0.13 s: this many between two lines of progress.
_TOLD_EVERY = 10


def density_plot(
    models: Mapping[str, Any], tflite: str | os.PathLike[str] | None = None, layer: str | None = None
) -> Figure:
    """How one kernel's weights are spread in each model, and its INT8 codes in the .tflite: panels side by side.

    `armopt.density_plot({"float": model, "prune": pruned}, "model.tflite", layer="conv")` shows zeros' share, distinct
    values, and codes over -128 to 127. A notebook shows the figure; `savefig` writes it.

    Args:
        models: Keras models by title, in the order of the pipeline; the last is the one that was exported.
        tflite: exported file; None for the models only.
        layer: name of a layer or key of a kernel (`layer/attribute`); default: the kernel with the most weights.

    Returns:
        A matplotlib figure of its own: nothing of pyplot is touched.

    Raises:
        UsageError: no models, an unknown layer, a file that is no .tflite, or one that does not hold the kernel.
    """
    if not models:
        raise UsageError("no models to plot", 'give a dict such as {"float": model, "prune": pruned}')
    steps = [Step.of(title, as_source(model).model, constraints_of(model)) for title, model in models.items()]
    key = _chosen_kernel(steps[0], layer)
    file = None
    if tflite is not None:
        found = tensors_of(Path(tflite), {key: steps[-1].kernels[key]} if key in steps[-1].kernels else {})
        if key not in found:
            raise UsageError(
                f"'{key}' of the last model is not to be found in '{tflite}'", "give the model that was exported last"
            )
        file = (Path(tflite).name, found)
    from armopt.show.plots import kernel_picture

    return kernel_picture(next(kernel_densities(steps, file, [key])))


def plot_run(builder: NodeBuilder, path: str | None, out: Path, listener: Listener) -> None:
    """Draw every kernel from the float model down to the .tflite of the leaf at `path`: PNG and SVG in `out/plots`.

    Pictures of an earlier run are removed, since they must not stand beside another verdict. A full or read-only disk
    is told as a note: the run's result stands without pictures.

    Args:
        builder: of the run; the leaf and its ancestors are built.
        path: of the leaf; None to draw nothing.
        out: the run's folder.
        listener: told of progress.
    """
    folder = out / FOLDER
    try:
        clear_plots(out)
        if path is None:
            return
        listener(Doing("drawing density plots"))
        count, absent = _draw_all(builder, path, folder, listener)
    except OSError as error:
        listener(Note(f"no density plots: '{folder}' can't be written: {error.strerror or error}"))
        return
    lacking = f"; not to be found in the file: {', '.join(absent)}" if absent else ""
    listener(Note(f"density plots of {count:,} kernels, float to '{path}', as PNG and SVG in {folder}{lacking}"))


def plot_search(result: Result, out: Path, listener: Listener) -> None:
    """Draw the trials of a run's search into `out/plots`, PNG and SVG; nothing where there was none.

    A full or read-only disk is told as a note, as `plot_run` does.
    """
    from armopt.show.plot_files import file_stem, save_picture
    from armopt.show.search_plot import search_picture

    picture = search_picture(result)
    if picture is None:
        return
    folder = out / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_picture(picture, folder, file_stem(0, "search"))
    except OSError as error:
        listener(Note(f"no picture of the search: '{folder}' can't be written: {error.strerror or error}"))
        return
    listener(Note(f"the search's trials, as PNG and SVG in {folder}"))


def clear_plots(out: Path) -> None:
    """Remove the pictures that an earlier run drew, and nothing that somebody else put beside them.

    Raises:
        OSError: they can't be removed.
    """
    from armopt.show.plot_files import MADE_HERE

    folder = out / FOLDER
    if folder.is_dir():
        for file in folder.iterdir():
            if MADE_HERE.match(file.name):
                file.unlink()
        with contextlib.suppress(OSError):  # not empty: something of the user's lies there
            folder.rmdir()


def _draw_all(builder: NodeBuilder, path: str, folder: Path, listener: Listener) -> tuple[int, list[str]]:
    """How many kernels were drawn, and those of them that the file holds in a form that is not recognized."""
    inner = [ROOT, *ancestors_of(path)]
    pieces = [builder.piece(node) for node in inner]
    steps = [Step.of(stage_of(node), piece.model, piece.constraints) for node, piece in zip(inner, pieces, strict=True)]
    leaf = builder.build(path)
    audited = leaf.audit.layers if leaf.audit is not None else ()
    tensors = tensors_of(leaf.tflite, steps[-1].kernels, audited)
    file = (f"{stage_of(path)}, .tflite", tensors)
    keys = list(steps[0].kernels)
    from armopt.show.plot_files import file_stem, save_picture
    from armopt.show.plots import kernel_picture

    folder.mkdir(parents=True, exist_ok=True)
    for number, kernel in enumerate(kernel_densities(steps, file, keys), 1):
        if number % _TOLD_EVERY == 0:
            listener(Doing(f"drawing density plots: {number:,} of {len(keys):,}"))
        save_picture(kernel_picture(kernel), folder, file_stem(number, kernel.kernel))
    return len(keys), [key for key in keys if key not in tensors]


def _chosen_kernel(step: Step, layer: str | None) -> str:
    kernels = step.kernels
    if not kernels:
        raise UsageError("the first model has no kernels", "give a model with convolutions or dense layers")
    if layer is None:
        return max(kernels, key=lambda key: int(kernels[key].variable.shape.num_elements()))
    for key, kernel in kernels.items():
        if layer in (key, kernel.layer):
            return key
    raise UsageError(f"the first model has no layer '{layer}' with a kernel", f"layers: {', '.join(kernels)}")

"""The example notebooks run as Jupyter runs them: in a kernel of their own, in an empty folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

# Four notebooks train for two minutes.
pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
# What the notebook's network has, in the file's layout: found by shape, without armopt's own reader.
SHAPES = {"conv1": (16, 3, 3, 1), "conv2": (32, 3, 3, 16), "hidden": (32, 512), "logits": (10, 32)}
# Which promises the file of each notebook has to hold.
PRUNED = {"pqat", "pcqat", "sparsity_preserving_clustering"}
CLUSTERED = {"cqat", "pcqat", "sparsity_preserving_clustering"}
NAMES = sorted(PRUNED | CLUSTERED)


@dataclass(frozen=True)
class Done:
    """A notebook that has been run, and the folder that it ran in."""

    name: str
    notebook: Any
    folder: Path

    @property
    def said(self) -> str:
        outputs = [output for cell in self.notebook.cells for output in cell.get("outputs", ())]
        return "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")


@pytest.fixture(scope="module", params=NAMES)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp(request.param)
    notebook = nbformat.read(EXAMPLES / f"{request.param}.ipynb", as_version=4)
    # A cell that exports waits for a second TensorFlow to start: seconds on an idle core, many on a busy one.
    NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(folder)}}).execute()
    return Done(request.param, notebook, folder)


def weights_in(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """INT8 kernels as LiteRT's interpreter holds them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    found = {}
    for name, shape in SHAPES.items():
        tensors = [
            interpreter.get_tensor(detail["index"])
            for detail in interpreter.get_tensor_details()
            if tuple(detail["shape"]) == shape and detail["dtype"] == np.int8
        ]
        assert len(tensors) == 1, name
        found[name] = tensors[0]
    return found


@pytest.mark.timeout(300)
def test_the_file_holds_what_the_notebook_promises(done: Done) -> None:
    kernels = weights_in(done.folder / f"{done.name}.tflite")
    for codes in kernels.values():
        assert ((codes == 0).mean() >= 0.5) == (done.name in PRUNED)
    # The largest kernel would have some 200 codes if it were not clustered.
    assert all(len(np.unique(codes)) <= 16 for codes in kernels.values()) == (done.name in CLUSTERED)
    assert (len(np.unique(kernels["hidden"])) > 100) == (done.name not in CLUSTERED)


@pytest.mark.timeout(300)
def test_the_file_still_knows_its_digits(done: Done) -> None:
    found = re.search(r"INT8 \.tflite: accuracy ([0-9.]+)", done.said)
    assert found is not None and float(found[1]) > 0.93


@pytest.mark.timeout(300)
def test_the_notebook_shows_its_picture_and_writes_it(done: Done) -> None:
    assert (done.folder / f"{done.name}.png").read_bytes().startswith(b"\x89PNG")
    shown = [output.get("data", {}) for output in done.notebook.cells[-1]["outputs"]]
    assert any("image/png" in data for data in shown)


@pytest.mark.timeout(300)
def test_zeros_survive_a_users_own_fit(done: Done) -> None:
    if done.name == "sparsity_preserving_clustering":
        assert "after fit: 50% zeros in conv2" in done.said
    else:
        assert "after fit" not in done.said


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_clean(name: str) -> None:
    text = (EXAMPLES / f"{name}.ipynb").read_text()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
    assert len(notebook.cells) > len(code)
    # No absolute path of anybody's machine; in web addresses and relative paths something stands before the slash.
    assert not re.search(r"(?<![\w./<])/\w+/|file://|[A-Z]:\\\\", text)


def test_there_is_no_notebook_that_is_not_run() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == NAMES

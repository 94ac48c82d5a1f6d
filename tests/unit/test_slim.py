from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from armopt.runners.ssh.slim import is_wanted, slim
from armopt.runners.ssh.small_model import small_model

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model = Interpreter(model_path=sys.argv[2], num_threads=2)
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]["index"], np.arange(16, dtype=np.int8).reshape(1, 16))
model.invoke()
np.savez(sys.argv[3], out=model.get_tensor(model.get_output_details()[0]["index"]), drawn=np.random.rand(3))
print(np.load(sys.argv[3])["out"].tolist(), np.linalg.norm([3.0, 4.0]))
assert np.__file__.startswith(sys.argv[1])
"""


def installed(package: str, folder: Path) -> Path:
    """A wheel of a package as it is installed here."""
    path = folder / f"{package}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in importlib.metadata.files(package) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                wheel.write(str(file.locate()), str(file))
    return path


def test_what_is_left_runs_a_model_and_is_much_less(tmp_path: Path) -> None:
    site, model = tmp_path / "site", tmp_path / "model.tflite"
    model.write_bytes(small_model())
    before = after = 0
    for package in ("numpy", "ai-edge-litert"):
        wheel, out = installed(package, tmp_path), tmp_path / f"{package}.zip"
        slim(wheel, out)
        with zipfile.ZipFile(out) as left:
            left.extractall(site)
        before, after = before + wheel.stat().st_size, after + out.stat().st_size
    command = [sys.executable, "-I", "-S", "-B", "-c", RUN, str(site), str(model), str(tmp_path / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[[17, 28, -14, -2, -32, 19, 12, -34]] 5.0\n", done.stderr
    assert after < 0.75 * before


def test_the_same_wheel_gives_the_same_bytes_however_it_was_zipped(tmp_path: Path) -> None:
    members = {"b/x.py": b"1", "a.py": b"2" * 9999, "a-1.dist-info/LICENSE": b"free", "a-1.dist-info/RECORD": b"lies"}
    slims = set()
    for turn, names in enumerate((sorted(members), sorted(members, reverse=True))):
        wheel, out = tmp_path / "w.whl", tmp_path / f"{turn}.zip"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED if turn else zipfile.ZIP_STORED) as made:
            for name in names:
                made.writestr(zipfile.ZipInfo(name, (2000 + turn, 1, 1, 0, 0, 0)), members[name])
        slim(wheel, out)
        slims.add(out.read_bytes())
    assert len(slims) == 1
    with zipfile.ZipFile(tmp_path / "0.zip") as left:
        assert left.namelist() == ["a-1.dist-info/LICENSE", "a.py", "b/x.py"]
        assert left.read("a.py") == members["a.py"]


@pytest.mark.parametrize(
    ("member", "wanted"),
    [
        ("numpy/testing/__init__.py", True),  # its name begins with that of a folder that is left out
        ("numpy/_core/_multiarray_tests.cpython-39-aarch64-linux-gnu.so", True),  # numpy before 2.1 imports it
        ("numpy.libs/libscipy_openblas64_.so", True),
        ("numpy/lib/tests/data/py2.npy", False),
        ("numpy/_core/include/numpy/arrayobject.h", False),
        ("ai_edge_litert/interpreter.py", True),
        ("ai_edge_litert/libLiteRtWebGpuAccelerator.so", False),
        ("tflite_runtime/", False),
    ],
)
def test_members_are_left_out_by_their_names(member: str, wanted: bool) -> None:
    assert is_wanted(member) == wanted

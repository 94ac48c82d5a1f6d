from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from armopt.runners.qemu.symbols import Symbols, readable


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    source = folder / "s.c"
    source.write_text(
        "int later_run(int x) { return x * 3; }\nstatic int run(int x) { return x + 1; }\nint (*p)(int) = run;\n"
    )
    built = folder / "s.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O0", "-o", built, source], check=True)
    return built


def test_a_function_is_found_by_name_and_by_every_offset_inside(library: Path) -> None:
    symbols = Symbols(library)
    start, size = symbols.find("run") or (0, 0)  # 'later_run' may hold its name as a tail
    assert size > 4
    assert {symbols.name_at(offset) for offset in range(start, start + size)} == {"run"}
    assert symbols.find("later_run") != (start, size)


def test_unknown_names_and_places_have_none(library: Path) -> None:
    symbols = Symbols(library)
    assert symbols.find("absent") is None
    assert symbols.name_at(-1) == symbols.name_at(10**9) == ""


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not a library, though long enough for a header" * 10)
    with pytest.raises(ValueError, match="not a 64-bit"):
        Symbols(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("xnn_compute_gemm", "xnn_compute_gemm"),
        ("_ZN6tflite8Subgraph10InvokeImplEv", "tflite::Subgraph::InvokeImpl"),
        ("_ZN3ruy12_GLOBAL__N_13RunEv", "ruy::(anonymous)::Run"),
        ("_ZNK3ruy3Ctx3RunEv", "ruy::Ctx::Run"),
        ("_Z3runi", "run"),
        ("_Znwm", "_Znwm"),
    ],
)
def test_cpp_names_are_shown_as_scopes(name: str, shown: str) -> None:
    assert readable(name) == shown

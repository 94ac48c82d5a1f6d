from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from armopt.runners.ethosu.header import RUNTIME_BYTES, header

MODEL = bytes(range(256)) * 3 + b"end"
SOURCE = """
#include "model.h"
#include <stdio.h>
int main(void) {
    fwrite(armopt_model, 1, sizeof armopt_model, stdout);
    return (int)((uintptr_t)armopt_model % 16);
}
"""


@pytest.mark.parametrize(("compiler", "standard"), [("cc", "c99"), ("cc", "c11"), ("c++", "c++17")])
def test_a_compiler_takes_it_and_gives_the_model_back_aligned(tmp_path: Path, compiler: str, standard: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    (tmp_path / "model.h").write_text(header(MODEL, 100, 0, "Made for a test. */ int injected; /*"))
    source = tmp_path / ("main.cpp" if standard.startswith("c++") else "main.c")
    source.write_text(SOURCE)
    program = tmp_path / "program"
    options = ["-Wall", "-Wextra", "-Werror", "-pedantic", f"-std={standard}"]
    subprocess.run([compiler, *options, str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, check=True)
    assert done.stdout == MODEL


def test_memory_is_rounded_up_and_the_runtime_has_room() -> None:
    text = header(MODEL, 100, 33, "Made for a test.")
    assert "#define ARMOPT_MODEL_ACTIVATION_BYTES 112\n" in text
    assert f"#define ARMOPT_MODEL_ARENA_BYTES {112 + RUNTIME_BYTES}\n" in text
    assert "#define ARMOPT_MODEL_CACHE_BYTES 48\n" in text
    assert f"#define ARMOPT_MODEL_BYTES {len(MODEL)}\n" in text

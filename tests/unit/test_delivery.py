from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.data import Split
from armopt.compress.export import export_tflite
from armopt.compress.models import predict
from armopt.core.records import Result
from armopt.core.stages import NUMBER_FORMATS
from armopt.delivery import deliver


@pytest.mark.parametrize("numbers", NUMBER_FORMATS)
def test_the_delivered_script_runs_files_of_every_number_format(tmp_path: Path, result: Result, numbers: Any) -> None:
    model, x = tiny_models.conv2d(), tiny_models.samples((8, 8, 3), 32)
    export_tflite(model, Split((x,)), tmp_path / "made.tflite", numbers=numbers)
    deliver(result, tmp_path / "made.tflite", tmp_path / "out", "none", 1)
    np.save(tmp_path / "x.npy", x[:5])
    run = subprocess.run(
        [sys.executable, str(tmp_path / "out" / "run_model.py"), str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [[float(word) for word in line.strip("[]").split()] for line in run.stdout.splitlines()]
    wanted = predict(model, (x[:5],))[0]
    np.testing.assert_allclose(printed, wanted, atol=0.03 * np.abs(wanted).max())

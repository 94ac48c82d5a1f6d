from __future__ import annotations

from pathlib import Path

import pytest

import sparse_models
from armopt.compress.constraints import Constraints
from armopt.compress.sparse_path import sparse_path
from armopt.compress.stages import STAGES, Workpiece
from armopt.core.errors import ModelError, UsageError
from tiny_models import context_for


@pytest.mark.parametrize("name", sparse_models.CASES)
def test_what_keeps_a_file_from_sparse_kernels_is_named(tmp_path: Path, name: str) -> None:
    path, obstacle = sparse_models.case(name, tmp_path)
    found = sparse_path(path)
    assert (obstacle in found.obstacles[0]) if obstacle else (found.obstacles == () and (found.zeros or 0) > 0.75)


def test_zeros_that_are_stored_do_not_count_as_sparse(tmp_path: Path) -> None:
    model = sparse_models.pruned(sparse_models.mobile(), 0.8)
    dense = sparse_path(sparse_models.exported(model, tmp_path / "dense.tflite", "float32"))
    assert dense.zeros == pytest.approx(0.8, abs=0.02) and "DENSIFY" in dense.obstacles[0]


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 40)
    with pytest.raises(UsageError, match="damaged"):
        sparse_path(tmp_path / "x.tflite")


@pytest.mark.parametrize(
    ("share", "around", "complaint"),
    [(0.6, 1, r"two thirds; prune harder"), (0.8, ((0, 1), (0, 1)), r"ZeroPadding2D\(1\).* leave 'sparse' out")],
)
def test_a_model_that_would_run_dense_is_refused_before_it_is_exported(
    share: float, around: object, complaint: str
) -> None:
    model = sparse_models.pruned(sparse_models.mobile(around=around), share)
    with pytest.raises(ModelError, match=complaint):
        STAGES["sparse"].apply(Workpiece(model, Constraints()), context_for(model))


def test_a_model_that_runs_sparse_passes_as_it_is() -> None:
    model = sparse_models.pruned(sparse_models.mobile(), 0.8)
    piece = STAGES["sparse"].apply(Workpiece(model, Constraints()), context_for(model))
    assert piece.model is model and piece.notes == ()

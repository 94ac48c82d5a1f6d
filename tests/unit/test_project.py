from __future__ import annotations

from pathlib import Path

import pytest

from armopt.catalog.project import find_project
from armopt.core.errors import UsageError

PROJECT = """
model = "model.keras"
data = "data.npz"
device = "pi4"
[target]
max_latency = "20ms@p95"
max_size = 200000
max_drop = "1%"
[overrides]
sparsity = 0.75
"""


def test_no_project_file_is_no_project(tmp_path: Path) -> None:
    assert find_project(tmp_path) is None


def test_a_project_says_what_to_deploy_and_only_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "armopt.toml").write_text(PROJECT)
    project = find_project(tmp_path)
    assert project is not None
    assert (project.model, project.device, project.profile) == ("model.keras", "pi4", None)
    assert project.settings == {"sparsity": 0.75}
    assert (project.target.max_latency, project.target.max_size) == ("20ms@p95", 200_000)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (PROJECT.replace("device", "devise"), "unknown key devise"),
        (PROJECT.replace("max_size", "max_bytes"), "unknown key target.max_bytes"),
        (PROJECT.replace("0.75", "1.75"), "overrides.sparsity: input should be less than 1"),
        ('until = "later"', "until: input should be 'first' or 'best'"),
    ],
)
def test_a_wrong_project_file_gets_one_line_with_its_key(tmp_path: Path, broken: str, complaint: str) -> None:
    (tmp_path / "armopt.toml").write_text(broken)
    with pytest.raises(UsageError) as caught:
        find_project(tmp_path)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)

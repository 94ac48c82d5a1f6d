"""A project's own choice: `armopt.toml` in the current folder says what the command line leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from armopt.catalog.toml_record import read_toml_record
from armopt.core.profile import StageSettings
from armopt.core.records import Evidence, Record

FILE_NAME = "armopt.toml"


class ProjectTarget(Record):
    """Limits as they are written on the command line: `20ms@p95`, `200kB`, `12.5M`, `1%`; plain numbers too."""

    max_latency: str | None = None
    max_instructions: str | int | None = None
    max_size: str | int | None = None
    max_sram: str | int | None = None
    max_flash: str | int | None = None
    min_accuracy: str | float | None = None
    max_drop: str | float | None = None
    evidence: Evidence | None = None
    allow_fallback: bool | None = None


class Project(Record):
    """What `armopt.toml` may hold. Paths are relative to the folder that it lies in, which is the current one."""

    model: str | None = None
    data: str | None = None
    device: str | None = None
    host: str | None = None
    vela_ini: str | None = None
    profile: str | None = None
    until: Literal["first", "best"] | None = None
    loss: str | None = None
    metric: str | None = None
    preprocess: str | None = None
    custom_objects: str | None = None
    target: ProjectTarget = ProjectTarget()
    overrides: StageSettings = StageSettings()

    @property
    def settings(self) -> dict[str, object]:
        """The overrides that the file gives, without defaults."""
        return self.overrides.model_dump(exclude_unset=True)


def find_project(folder: Path | None = None) -> Project | None:
    """The project file of `folder` (the current one if None), or None where there is none.

    Raises:
        UsageError: the file is wrong: an unknown key, a wrong type, not TOML.
    """
    path = (folder or Path()) / FILE_NAME
    return read_toml_record(path, Project) if path.is_file() else None

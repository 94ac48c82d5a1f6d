"""Finds optimisation profiles by name: `profiles/NAME.toml`, the tree and how hard each stage works."""

from __future__ import annotations

import difflib
from pathlib import Path

from pydantic import Field, ValidationError

from armopt.catalog.search_path import list_data
from armopt.catalog.toml_record import read_toml_record
from armopt.core.errors import UsageError
from armopt.core.profile import ExportSettings, Profile, StageSettings
from armopt.core.records import Record
from armopt.core.tree import Tree, stage_of


class _ProfileFile(Record):
    """What the file may hold. Settings are records here, so that a wrong key is found and named on reading."""

    name: str
    title: str = ""
    tree: tuple[str, ...]
    speed_tree: tuple[str, ...] = ()
    common: StageSettings = StageSettings()
    stages: dict[str, StageSettings] = Field(default_factory=dict)
    nodes: dict[str, StageSettings] = Field(default_factory=dict)
    export: ExportSettings = ExportSettings()


def list_profiles() -> list[str]:
    """Names of all known profiles, sorted."""
    return list(list_data("profiles"))


def find_profile(name: str) -> Profile:
    """The profile called `name`, or described by the TOML file at that path.

    Raises:
        UsageError: no such profile, or its file is wrong.
    """
    if name.endswith(".toml"):
        return _load(Path(name))
    known = list_data("profiles")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? known: " if close else "known: "
        raise UsageError(f"unknown profile {name!r}", hint + ", ".join(known) + "; or the path of a .toml file")
    return _load(known[name])


def check_overrides(overrides: dict[str, object]) -> dict[str, object]:
    """The overrides, once they are known to be settings of the right type and range.

    Raises:
        UsageError: an unknown setting or a wrong value, named as the flag that sets it.
    """
    try:
        StageSettings.model_validate(overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0])
        if key not in StageSettings.model_fields:
            raise UsageError(f"unknown setting {key!r}", "known: " + ", ".join(StageSettings.model_fields)) from error
        message = first["msg"][:1].lower() + first["msg"][1:]
        meaning = StageSettings.model_fields[key].description
        raise UsageError(f"--{key} {first['input']}: {message}", f"it is the {meaning}" if meaning else "") from error
    return overrides


def _load(path: Path) -> Profile:
    file = read_toml_record(path, _ProfileFile)
    try:
        Tree(file.tree)
        Tree((*file.tree, *file.speed_tree))
    except UsageError as error:
        raise UsageError(f"{path}: tree: {error.what}", error.mend) from error
    nodes = {*file.tree, *file.speed_tree}
    stages = {stage_of(node) for node in nodes}
    for table, given, present in (("stages", file.stages, stages), ("nodes", file.nodes, nodes)):
        for name in given:
            if name not in present:
                raise UsageError(f"{path}: {table}.{name}: not in the tree", "correct the name or add it to the tree")
    return Profile(
        name=file.name,
        title=file.title,
        tree=file.tree,
        speed_tree=file.speed_tree,
        # Only what the file says: a default written out here would win over the common settings.
        common=file.common.model_dump(exclude_unset=True),
        stages={name: settings.model_dump(exclude_unset=True) for name, settings in file.stages.items()},
        nodes={name: settings.model_dump(exclude_unset=True) for name, settings in file.nodes.items()},
        export=file.export,
    )

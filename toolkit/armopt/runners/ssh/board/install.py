"""Installed models: `models/NAME/VERSION` with an atomic link `models/NAME/current`; `install`, `rollback`, `list`.

A version is a folder that is complete before the link points to it; what the link pointed to stays for a way back.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from board_common import (  # type: ignore[import-not-found]
    alone,
    checked,
    fail,
    private_folder,
    read_text,
    say,
    told_errors,
    write_whole,
)

KEPT = 5


def versions(model: Path) -> list[int]:
    """Numbers of the complete versions, oldest first."""
    return sorted(int(path.name) for path in model.iterdir() if path.name.isdigit()) if model.is_dir() else []


def current(model: Path) -> int:
    """The version that the link points to; 0 where there is none."""
    link = model / "current"
    name = link.readlink().name if link.is_symlink() else ""
    return int(name) if name.isdigit() and (model / name).is_dir() else 0


def point(model: Path, version: int) -> None:
    """Let the link point to a version, in one step."""
    part = model / ".current"
    part.unlink(missing_ok=True)
    part.symlink_to(str(version))
    part.replace(model / "current")


def install(folder: Path, name: str, manifest: dict[str, Any]) -> None:
    """Make the next version out of stored files, and let the link point to it; nothing new makes no new version."""
    model, text = folder / "models" / checked(name), json.dumps(manifest, sort_keys=True)
    model.mkdir(parents=True, exist_ok=True)
    with alone(model):
        now = current(model)
        newest = max([0, *versions(model)])  # not the current one after a rollback, or where the connection broke here
        number = next((old for old in (now, newest) if read_text(model / str(old) / "manifest.json") == text), 0)
        new = not number
        if new:
            number = newest + 1
            build(folder, model / ".part", manifest)
            os.rename(model / ".part", model / str(number))
        point(model, number)
        for old in versions(model)[:-KEPT]:
            if old not in (now, number):
                shutil.rmtree(model / str(old), ignore_errors=True)
    say("installed", folder=str(model / "current"), version=number, new=new)


def build(folder: Path, building: Path, manifest: dict[str, Any]) -> None:
    """Make the folder of a version, on the disk at the end."""
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        for file, digest in manifest["files"].items():
            write_whole(building / checked(file), (folder / "files" / checked(digest)).read_bytes())
        write_whole(building / "run", run_script(folder, manifest).encode())
        (building / "run").chmod(0o700)
        write_whole(building / "manifest.json", json.dumps(manifest, sort_keys=True).encode())
    except BaseException:  # a disk that is full is not left full
        shutil.rmtree(building, ignore_errors=True)
        raise


def run_script(folder: Path, manifest: dict[str, Any]) -> str:
    """The shell script that runs run_model.py beside it with the runtime that armopt brought."""
    runtime = manifest.get("runtime")
    site = "PYTHONPATH={} ".format(shlex.quote(str(folder / "runtimes" / checked(runtime)))) if runtime else ""
    command = '{}exec {} "$(dirname -- "$0")/run_model.py" "$@"'.format(site, shlex.quote(manifest["python"]))
    return f"#!/bin/sh\n{command}\n"


def rollback(folder: Path, name: str) -> None:
    """Let the link point to the version before the current one."""
    model = folder / "models" / checked(name)
    now = current(model)
    before = [number for number in versions(model) if number < now]
    if not before:
        fail("usage", "{} has no version before {}".format(name, now or "the first"))
    point(model, before[-1])
    say("installed", folder=str(model / "current"), version=before[-1], new=False)


def listed(folder: Path) -> None:
    """Say which models there are, and in which versions."""
    found = {path.name: path for path in (folder / "models").glob("*") if path.is_dir()}
    say("models", models={name: {"current": current(path), "versions": versions(path)} for name, path in found.items()})


def main() -> None:
    """COMMAND FOLDER [NAME]; `install` reads its manifest from stdin."""
    command, name, *rest = sys.argv[1:]
    with told_errors():
        folder = private_folder(name)
        if command == "install":
            install(folder, rest[0], json.loads(sys.stdin.buffer.read()))
        elif command == "rollback":
            rollback(folder, rest[0])
        elif command == "list":
            listed(folder)


main()

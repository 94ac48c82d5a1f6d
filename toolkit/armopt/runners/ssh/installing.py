"""A chosen model on a board for good: a version of its own, the link `current`, and the way back."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armopt.core.errors import DeviceError
from armopt.runners.ssh.board_folder import BoardFolder, Content, sha256_of
from armopt.runners.ssh.told import Event

if TYPE_CHECKING:
    from armopt.runners.ssh.board_run import Setup


_LONGEST_PATH = 4096


@dataclass(frozen=True)
class Installed:
    """A model on a board.

    Attributes:
        host: the board's name.
        folder: on the board, of the version that is used now.
        version: its number.
        new: False where that version was there already.
    """

    host: str
    folder: str
    version: int
    new: bool


def name_on_board(model: str) -> str:
    """A model's name as a folder may be called; names that would fall together keep apart by a checksum."""
    plain = re.sub(r"[^0-9A-Za-z._-]+", "-", model).strip("-._")[:60]
    if plain and plain == model:
        return plain
    return f"{plain or 'model'}-{hashlib.sha256(model.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def install(board: BoardFolder, setup: Setup, model: str, files: Mapping[str, Content]) -> Installed:
    """Install files as the next version of a model; the board has to be locked.

    Args:
        board: where to.
        setup: what runs the model there.
        model: its name.
        files: `model.tflite`, `run_model.py` and whatever belongs to them, by name.

    Raises:
        DeviceError: the board failed, its disk is full.
    """
    digests = {name: sha256_of(content) for name, content in files.items()}
    board.send({digests[name]: content for name, content in files.items()})
    manifest = {"files": digests, "python": setup.python, "runtime": setup.runtime, "model": model}
    name = name_on_board(model)
    told = board.script("install", ["install", board.host.folder, name], json.dumps(manifest).encode())
    return _installed(board, told)


def rollback(board: BoardFolder, model: str) -> Installed:
    """Let a model's `current` be the version before the one that it is.

    Raises:
        DeviceError: there is no earlier version, or the board failed.
    """
    return _installed(board, board.script("install", ["rollback", board.host.folder, name_on_board(model)]))


def _installed(board: BoardFolder, event: Event) -> Installed:
    folder, version = event.get("folder"), event.get("version")
    if event["event"] != "installed" or not isinstance(folder, str) or not isinstance(version, int):
        raise DeviceError(f"{board.host.name} does not say what was installed", "run again")
    odd = len(folder) > _LONGEST_PATH or any(unicodedata.category(character) == "Cc" for character in folder)
    if odd or not 0 < version < 1_000_000:
        raise DeviceError(f"{board.host.name} says to have installed what makes no sense", "check what runs there")
    return Installed(board.host.name, folder, version, event.get("new") is True)

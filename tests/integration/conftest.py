"""What integration tests share: one virtual board for all of them; a real sshd on this machine, and it as a board."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from board_at_hand import AtHand
from sshd import Sshd
from virtual_board import virtual_board

__all__ = ["virtual_board"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd; its folder's name has a space."""
    with Sshd(tmp_path_factory.mktemp("a server")) as running:
        yield running


@pytest.fixture
def board(server: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AtHand:
    """This machine behind that sshd, as a board."""
    return AtHand(server, monkeypatch, tmp_path)

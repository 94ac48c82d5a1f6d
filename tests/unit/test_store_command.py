from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from armopt.cli.main import run
from armopt.search.store import Store, key_of

DAY_S = 24 * 3600


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three nodes of 1,000 bytes and more, last used today, 10 and 100 days ago."""
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path))
    opened = Store.open()
    for node, days in (("ptq", 0), ("qat", 10), ("prune", 100)):

        def write(folder: Path, node: str = node) -> dict[str, object]:
            (folder / "weights").write_bytes(bytes(1000))
            return {"kind": "node", "node": node, "model": "m", "seconds": 1.5}

        entry = opened.put(key_of(node), write)
        used = time.time() - days * DAY_S
        os.utime(entry.path / "node.json", (used, used))
    return opened


def left(store: Store) -> list[str]:
    return [entry.node for entry in store.entries()]


def test_ls_lists_the_last_used_first(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "ls", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [node["node"] for node in document["nodes"]] == ["ptq", "qat", "prune"]
    assert run(["store", "ls"]) == 0
    assert "3 entries" in capsys.readouterr().out


def test_gc_removes_what_was_not_used_for_so_long(store: Store) -> None:
    assert run(["store", "gc", "--older-than", "30"]) == 0
    assert left(store) == ["ptq", "qat"]
    assert run(["store", "gc", "--older-than", "0"]) == 0
    assert left(store) == []


def test_gc_to_a_size_removes_the_longest_unused(store: Store) -> None:
    assert run(["store", "gc", "--older-than", "1000", "--max-size", "2500"]) == 0
    assert left(store) == ["ptq", "qat"]


def test_a_dry_run_tells_and_removes_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "gc", "--older-than", "5", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == 2
    assert len(left(store)) == 3

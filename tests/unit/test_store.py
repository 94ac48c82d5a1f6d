from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from armopt.core.errors import StoreError
from armopt.search.store import Store, key_of


def _write(content: bytes) -> Any:
    def write(folder: Path) -> dict[str, Any]:
        (folder / "model.tflite").write_bytes(content)
        return {"kind": "node", "node": "ptq", "model": "m", "seconds": 1.5}

    return write


def test_what_was_put_is_found_again(tmp_path: Path) -> None:
    Store(tmp_path).put("ab12", _write(b"weights"))
    entry = Store(tmp_path).get("ab12")
    assert entry is not None
    assert (entry.node, entry.seconds) == ("ptq", 1.5)
    assert (entry.path / "model.tflite").read_bytes() == b"weights"


def test_a_key_that_was_never_put_is_not_found(tmp_path: Path) -> None:
    assert Store(tmp_path).get("ab12") is None


@pytest.mark.parametrize("position", [0, 3, 6])
def test_any_changed_byte_of_a_file_makes_the_entry_vanish(tmp_path: Path, position: int) -> None:
    entry = Store(tmp_path).put("ab12", _write(b"weights"))
    content = bytearray(b"weights")
    content[position] ^= 1
    (entry.path / "model.tflite").write_bytes(bytes(content))
    assert Store(tmp_path).get("ab12") is None
    assert not entry.path.exists()


def test_a_record_that_is_cut_off_makes_the_entry_vanish(tmp_path: Path) -> None:
    entry = Store(tmp_path).put("ab12", _write(b"weights"))
    (entry.path / "node.json").write_text("{")
    assert Store(tmp_path).get("ab12") is None


def test_a_write_that_fails_leaves_nothing_behind_and_what_was_finished_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("aa", _write(b"finished"))

    def full(folder: Path) -> dict[str, Any]:
        (folder / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        store.put("bb", full)
    assert store.get("bb") is None
    assert store.get("aa") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["aa"]


def test_the_second_of_two_runs_that_finish_the_same_node_takes_the_first_ones_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("ab12", _write(b"first"))
    assert (store.put("ab12", _write(b"second")).path / "model.tflite").read_bytes() == b"first"


def _count_up(root: Path, tally: Path) -> None:
    store = Store(root)
    with store.lock("ab12", lambda: None):
        if store.get("ab12") is None:
            with tally.open("a") as file:
                file.write("built\n")
            store.put("ab12", _write(b"weights"))


def test_of_several_processes_only_one_builds_a_node(tmp_path: Path) -> None:
    tally = tmp_path / "tally"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(tmp_path / "store", tally)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert tally.read_text() == "built\n"


def test_removing_forgets_the_entry_and_counts_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("ab12", _write(b"weights"))
    assert store.remove(["ab12", "never"]) == 1
    assert store.entries() == []


def test_entries_are_listed_with_their_size(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = store.put("ab12", _write(b"weights"))
    assert [(e.key, e.size_bytes) for e in store.entries()] == [
        ("ab12", len(b"weights") + len((entry.path / "node.json").read_bytes()))
    ]


def test_the_record_holds_a_digest_of_every_file(tmp_path: Path) -> None:
    entry = Store(tmp_path).put("ab12", _write(b"weights"))
    record = json.loads((entry.path / "node.json").read_text())
    assert list(record["files"]) == ["model.tflite"]
    assert len(record["files"]["model.tflite"]) == 64


def test_keys_depend_on_every_part_and_not_on_the_order_of_settings() -> None:
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
    assert len({key_of("a", {"x": 1}), key_of("a", {"x": 2}), key_of("b", {"x": 1}), key_of("a", {"x": 1}, None)}) == 4

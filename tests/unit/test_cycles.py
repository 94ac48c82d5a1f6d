from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.catalog.devices import find_core
from armopt.core.decode import count_classes
from armopt.core.device import CoreKind
from armopt.latency import block_cache, ports
from armopt.latency.block_cache import block_hash, read_cycles, user_path, write_cycles
from armopt.latency.cycles import HOT_SHARE, block_cycles
from armopt.latency.llvm_mca import LlvmMca, find_llvm_mca

SHIPPED = block_cache.shipped_path("any").parent
PORTS_ONLY = find_core("cortex-a53").model_copy(update={"scheduler": None})
A72 = find_core("cortex-a72").model_copy(update={"scheduler": "cortex-a72"})


def block(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


# fmla chains into v0, of different lengths: llvm-mca sees the latency that ports do not model.
CHAINS = [block(*[0x4E31CE00] * n) for n in (1, 2, 3, 4, 5)]
RUNS = np.array([1000, 500, 2000, 100, 1])


def by_ports(blocks: list[bytes], core: CoreKind) -> list[float]:
    return ports.block_cycles(count_classes(blocks), core).tolist()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches: the user's, and the package's in `shipped`."""
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(block_cache, "_SHIPPED", tmp_path / "shipped")
    return tmp_path


@pytest.fixture
def no_llvm(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folders))


def test_a_hash_is_the_first_16_digits_of_the_sha256_of_the_bytes() -> None:
    assert block_hash(CHAINS[0]) == hashlib.sha256(CHAINS[0]).hexdigest()[:16]
    assert re.fullmatch("[0-9a-f]{16}", block_hash(b""))


def test_a_core_without_a_scheduler_uses_ports_only() -> None:
    found = block_cycles(CHAINS, RUNS, PORTS_ONLY)
    assert found.cycles.tolist() == by_ports(CHAINS, PORTS_ONLY)
    assert found.sources == {"llvm-mca": 0, "ports": 1}


@pytest.mark.usefixtures("no_llvm")
def test_without_llvm_ports_give_the_cycles() -> None:
    found = block_cycles(CHAINS, RUNS, A72)
    assert found.cycles.tolist() == by_ports(CHAINS, A72)
    assert found.sources == {"llvm-mca": 0, "ports": 1}


def test_shipped_files_were_made_the_present_way() -> None:
    for path in sorted(SHIPPED.glob("*.csv")):
        version = path.read_text(encoding="ascii").split()[2]
        assert path.read_text(encoding="ascii").startswith(block_cache.origin_line(path.stem, version) + "\n")
        assert read_cycles(path)


@pytest.mark.usefixtures("no_llvm")
def test_shipped_cycles_need_no_llvm() -> None:
    shipped = {block_hash(CHAINS[2]): 77.5}
    write_cycles(block_cache.shipped_path("cortex-a72"), shipped, scheduler="cortex-a72", version="19.1.7")
    found = block_cycles(CHAINS, RUNS, A72)
    assert found.cycles[2] == 77.5
    assert found.cycles[0] == by_ports(CHAINS, A72)[0]
    assert found.sources["llvm-mca"] == pytest.approx(3 * 2000 / (RUNS @ [1, 2, 3, 4, 5]))


def test_llvm_mca_gives_the_cycles_of_the_hot_blocks_and_the_cache_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    first = block_cycles(CHAINS, RUNS, A72)
    # the last block ran once: under a thousandth of the work
    assert first.cycles[:4] == pytest.approx([4, 8, 12, 16], rel=0.05)
    assert first.cycles[4] == by_ports(CHAINS, A72)[4]
    assert HOT_SHARE <= first.sources["llvm-mca"] < 1
    mca = find_llvm_mca()
    assert mca is not None
    assert set(read_cycles(user_path("cortex-a72", mca.version))) == {block_hash(chain) for chain in CHAINS[:4]}

    def refuse(*_: object) -> None:
        raise AssertionError("llvm-mca was asked for what the cache holds")

    monkeypatch.setattr(LlvmMca, "block_cycles", refuse)
    again = block_cycles(CHAINS, RUNS, A72)
    assert again.cycles.tolist() == first.cycles.tolist()
    assert again.sources == first.sources


def test_a_known_block_that_is_cold_is_not_looked_up() -> None:
    hot = np.where(np.arange(5) == 4, 10**9, 1)
    first = block_cycles(CHAINS, RUNS, A72)
    block_cycles(CHAINS, hot, A72)  # the last block enters the cache
    assert block_cycles(CHAINS, RUNS, A72).cycles.tolist() == first.cycles.tolist()


def test_blocks_that_llvm_does_not_know_go_to_ports_and_are_not_asked_for_again() -> None:
    unknown = [block(0xB8E00041)]  # ldaddal, which Cortex-A72 has not
    found = block_cycles(unknown, np.array([10]), A72)
    assert found.cycles.tolist() == by_ports(unknown, A72)
    assert found.sources == {"llvm-mca": 0, "ports": 1}
    mca = find_llvm_mca()
    assert mca is not None
    assert np.isnan(read_cycles(user_path("cortex-a72", mca.version))[block_hash(unknown[0])])


def test_measured_throughputs_bound_what_llvm_takes_for_unlimited() -> None:
    adds = [block(*(0x8B030040 | register for register in range(16)))]  # add xN, x2, x3
    narrow = find_core("neoverse-n1").model_copy(update={"issue_width": 2})
    assert block_cycles(adds, np.array([1]), narrow).cycles.tolist() == [8]
    v1, tile = find_core("neoverse-v1"), [block(*(0x4E31CE00 | register for register in range(16)))]
    assert block_cycles(tile, np.array([1]), v1).cycles.tolist() == pytest.approx([16 * v1.cycles["fp_mac"]])


def test_a_cache_that_can_not_be_written_costs_nothing_but_time(folders: Path) -> None:
    (folders / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert block_cycles(CHAINS, RUNS, A72).sources["llvm-mca"] > 0


def test_a_spoiled_cache_line_is_passed_over(folders: Path) -> None:
    path = folders / "spoiled.csv"
    path.write_bytes(b"# origin\n0123456789abcdef,3.5\n0123456789abcde0,\n,\nshort,4\n\xff\xfe,1\n0123456789abcdee,4.")
    assert read_cycles(path) == {"0123456789abcdef": 3.5, "0123456789abcdee": 4}


def test_a_cache_file_names_its_origin_and_is_sorted(folders: Path) -> None:
    path = folders / "a.csv"
    write_cycles(path, {block_hash(chain): 1.25 for chain in CHAINS}, scheduler="cortex-a72", version="19.1.7")
    origin, *lines = path.read_text(encoding="ascii").splitlines()
    assert "llvm-mca 19.1.7" in origin and "cortex-a72" in origin
    assert lines == sorted(lines) and all(re.fullmatch("[0-9a-f]{16},1.25", line) for line in lines)
    assert [file.name for file in folders.iterdir()] == ["a.csv"]


@pytest.mark.usefixtures("no_llvm")
@given(st.lists(st.tuples(st.sampled_from(CHAINS), st.integers(0, 10**12)), max_size=8))
def test_sources_add_to_one(rows: list[tuple[bytes, int]]) -> None:
    blocks, runs = [one for one, _ in rows], np.array([n for _, n in rows], np.int64)
    for core in (A72, PORTS_ONLY):
        found = block_cycles(blocks, runs, core)
        assert sum(found.sources.values()) == pytest.approx(1)
        assert found.cycles.shape == (len(rows),)

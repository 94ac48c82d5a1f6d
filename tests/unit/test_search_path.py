from __future__ import annotations

from pathlib import Path

import pytest

from armopt.catalog.search_path import cache_dir, config_dir, list_data, search_path


def test_the_users_folder_comes_first_and_the_packaged_copy_last() -> None:
    roots = search_path()
    assert roots[0] == config_dir()
    assert roots[-1].name == "_data"


def test_folders_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path / "cache"))
    assert config_dir() == tmp_path / "config"
    assert cache_dir() == tmp_path / "cache"


def test_files_are_listed_by_name_and_the_first_root_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "pi4.toml").touch()
    found = list_data("devices")
    assert found["pi4"] == tmp_path / "devices" / "pi4.toml"
    assert found["pi5"].parent != tmp_path / "devices"
    assert list(found) == sorted(found)


def test_a_folder_that_is_nowhere_lists_nothing() -> None:
    assert list_data("no-such-folder") == {}

"""Where armopt looks for its data files and keeps its cache: one ordered search path for devices and profiles."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parents[1]


def config_dir() -> Path:
    """The user's folder for `devices/`, `profiles/` and `hosts.toml`; `ARMOPT_CONFIG_DIR` overrides it."""
    override = os.environ.get("ARMOPT_CONFIG_DIR")
    return Path(override) if override else Path(platformdirs.user_config_dir("armopt", appauthor=False))


def cache_dir() -> Path:
    """The folder of everything that can be rebuilt (sysroot, plugin, store); `ARMOPT_CACHE_DIR` overrides it."""
    override = os.environ.get("ARMOPT_CACHE_DIR")
    return Path(override) if override else Path(platformdirs.user_cache_dir("armopt", appauthor=False))


def search_path() -> tuple[Path, ...]:
    """Folders that may hold `devices/` and `profiles/`, first match wins: the user's, the checkout's, the packaged."""
    checkout = _PACKAGE.parents[1]
    # An installed package lies in site-packages; only in a checkout is the package's parent called toolkit.
    roots = [config_dir(), checkout] if _PACKAGE.parent.name == "toolkit" else [config_dir()]
    return (*roots, _PACKAGE / "_data")


def list_data(folder: str) -> dict[str, Path]:
    """All TOML files of `folder` ('devices', 'profiles', 'devices/cores') by name, sorted; earlier roots win."""
    found: dict[str, Path] = {}
    for root in search_path():
        for path in sorted((root / folder).glob("*.toml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))

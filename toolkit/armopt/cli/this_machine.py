"""What is wrong with this machine, as far as armopt needs it: programs, packages, the user's files, disk."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from armopt.catalog.search_path import cache_dir, config_dir
from armopt.core.errors import UsageError
from armopt.runners.qemu.tools import BOARD_PACKAGES, PACKAGES
from armopt.runners.ssh.finding import Finding, problem, warning

# Another version of these gives other files or other counts; newer ones of the rest do no harm.
_EXACT = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert")
LEAST_CACHE_BYTES = 1 << 30  # the emulated system takes 150 MB, a board's wheels 60 MB, a run's nodes some 100 MB


def examine_this_machine() -> tuple[dict[str, Any], list[Finding]]:
    """What was found here, as a document, and what is wrong with it."""
    programs = {name: shutil.which(name) for name in (*PACKAGES, *BOARD_PACKAGES, "ssh")}
    free_bytes = shutil.disk_usage(_existing_cache()).free
    facts = {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _EXACT},
        "programs": programs,
        "config": str(config_dir()),
        "cache": str(cache_dir()),
        "cache_free_bytes": free_bytes,
    }
    found = [*_packages(), *_files(), *_programs(programs)]
    if free_bytes < LEAST_CACHE_BYTES:
        room = "make room, or set ARMOPT_CACHE_DIR; armopt store gc removes old nodes"
        found.append(warning(f"{free_bytes >> 20} MiB of disk are free for the cache ({cache_dir()})", room))
    return facts, sorted(found, key=lambda finding: finding.severity != "problem")


def _existing_cache() -> str:
    folder = cache_dir().absolute()
    return str(next(path for path in (folder, *folder.parents) if path.is_dir()))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wanted = (Requirement(line) for line in importlib.metadata.requires("armopt") or ())
    for requirement in wanted:
        if requirement.name not in _EXACT:
            continue
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield problem(
                f"{requirement.name} is {version or 'not installed'}, and armopt is made for {requirement.specifier}",
                f"run: {sys.executable} -m pip install '{requirement}'",
            )


def _programs(programs: dict[str, str | None]) -> Iterator[Finding]:
    for purpose, packages in (
        ("emulated boards need", PACKAGES),
        ("the virtual board needs", BOARD_PACKAGES),
        ("~/.ssh/config is read only with", {"ssh": "openssh-client"}),
    ):
        missing = [name for name in packages if programs[name] is None]
        if missing:
            install = " ".join(dict.fromkeys(packages[name] for name in missing))
            yield warning(f"{purpose} {', '.join(missing)}", f"run: apt-get install {install}")


def _files() -> Iterator[Finding]:
    """Whatever the user may have written, read as the commands read it."""
    from armopt.catalog.devices import find_device, find_kind, list_devices
    from armopt.catalog.hosts import list_hosts
    from armopt.catalog.profiles import find_profile, list_profiles
    from armopt.catalog.project import find_project

    yield from _read(find_project)
    yield from _read(list_hosts)
    known = list_devices()
    for name in known:
        yield from _read(partial(find_kind, name))
    for name in list_profiles():
        yield from _read(partial(find_profile, name))
    for path in sorted((config_dir() / "calibrations").glob("*.toml")):
        if path.stem not in known:
            yield warning(f"{path} is for no board kind that there is", "remove it, or name it as the kind is named")
    try:
        hosts = list_hosts()
    except UsageError:
        return  # told above
    for host in hosts.values():
        if host.device not in known:
            for finding in _read(partial(find_device, host.device)):
                yield problem(f"host {host.name}: {finding.what}", finding.mend)


def _read(read: Callable[[], object]) -> Iterator[Finding]:
    try:
        read()
    except UsageError as error:
        yield problem(error.what, error.mend)

"""The user's own boards: `hosts.toml` in the user's folder, which `armopt hosts` edits and the user may edit, too."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import Field

from armopt.catalog.private_file import sole_writer, write_private
from armopt.catalog.search_path import config_dir
from armopt.catalog.toml_record import read_toml_record
from armopt.core.errors import StoreError, UsageError
from armopt.core.host import Host, HostEntry, is_host_name
from armopt.core.record import Record

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Table


class _HostsFile(Record):
    hosts: dict[str, HostEntry] = Field(default_factory=dict)


def hosts_file() -> Path:
    """Where the registered boards stand, whether the file is there or not."""
    return config_dir() / "hosts.toml"


def known_hosts_file() -> Path:
    """Where armopt records the host keys that the user trusts; ssh's own files are read, never written."""
    return config_dir() / "known_hosts"


def list_hosts() -> dict[str, Host]:
    """The registered boards by name, in the file's order. Raises UsageError where the file is wrong."""
    path = hosts_file()
    if not path.is_file():
        return {}
    entries = read_toml_record(path, _HostsFile).hosts
    for name in entries:
        if not is_host_name(name):
            raise UsageError(f"{path}: {name!r} is no name for a board", "use letters, digits, '.', '_' and '-'")
    return {name: Host(name=name, **entry.model_dump()) for name, entry in entries.items()}


def find_host(name: str) -> Host:
    """The board called `name`.

    Raises:
        UsageError: no board is called so, or the file is wrong.
    """
    known = list_hosts()
    if name in known:
        return known[name]
    if not known:
        mend = "none is registered; run: armopt hosts add NAME --device KIND --ssh USER@HOST"
    else:
        close = difflib.get_close_matches(name, known, n=1)
        mend = (f"did you mean {close[0]}? known: " if close else "known: ") + ", ".join(known)
    raise UsageError(f"unknown host {name!r}", mend)


def hosts_of(kind: str) -> tuple[Host, ...]:
    """The registered boards of that kind, in the file's order. Raises UsageError where the file is wrong."""
    return tuple(host for host in list_hosts().values() if host.device == kind)


def add_host(host: Host) -> None:
    """Register the board, in place of one of the same name; what else the file holds stays as it is written.

    Raises:
        UsageError: the name is none for a board, or the file is wrong.
        StoreError: the file can't be written.
    """
    import tomlkit

    if not is_host_name(host.name):
        raise UsageError(f"{host.name!r} is no name for a board", "use letters, digits, '.', '_' and '-'")
    with sole_writer(hosts_file()):
        list_hosts()  # a file that is wrong is the user's to correct, not ours to overwrite
        document = _read()
        hosts = _table(document)
        entry = hosts.get(host.name)
        if entry is None:
            entry = tomlkit.table()
            hosts.add(host.name, entry)
        values = host.model_dump(exclude={"name"})
        for key, value in values.items():
            if value != HostEntry.model_fields[key].default:
                entry[key] = value
            else:
                entry.pop(key, None)
        write_private(hosts_file(), tomlkit.dumps(document))


def remove_host(name: str) -> None:
    """Forget the board. Its host key stays recorded, and nothing on the board is touched.

    Raises:
        UsageError: no board is called so, or the file is wrong.
        StoreError: the file can't be written.
    """
    import tomlkit

    with sole_writer(hosts_file()):
        find_host(name)
        document = _read()
        del _table(document)[name]
        write_private(hosts_file(), tomlkit.dumps(document))


def _read() -> TOMLDocument:
    import tomlkit

    path = hosts_file()
    if not path.exists():
        return tomlkit.document()
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{path}: can't be read ({error.strerror})", "permit it") from error


def _table(document: TOMLDocument) -> Table:
    import tomlkit

    if "hosts" not in document:
        document.add("hosts", tomlkit.table(is_super_table=True))
    return cast("Table", document["hosts"])  # list_hosts has read it: it is one

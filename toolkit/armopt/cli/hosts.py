"""`armopt hosts`: the user's own boards, and the host keys by which they are known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from armopt.cli.output import json_option, print_json, print_record, print_rich, say
from armopt.cli.prepare import prepare_command

if TYPE_CHECKING:
    from armopt.core.host import Host
    from armopt.runners.ssh.host_keys import Recorded
    from armopt.runners.ssh.link import HostKey


@click.group()
def command() -> None:
    """Register your own boards, and trust their host keys."""


command.add_command(prepare_command)


@command.command("add")
@click.argument("name")
@click.option("--device", metavar="KIND", required=True, help="Board kind; see armopt devices.")
@click.option("--ssh", metavar="DEST", required=True,
              help="As ssh takes it: user@host, a Host of ~/.ssh/config, ssh://user@host:port.")  # fmt: skip
@click.option("--python", metavar="P", default="python3", show_default=True, help="Interpreter on the board.")
@click.option("--folder", metavar="F", default=".armopt", show_default=True,
              help="armopt's folder on the board, relative to the login's home.")  # fmt: skip
@click.option("--identity", metavar="FILE", help="Private key to log in with, and no other; else what ssh would take.")
@click.option("--replace", is_flag=True, help="Take the place of a board of that name.")
@json_option
def add_command(
    name: str, device: str, ssh: str, python: str, folder: str, identity: str | None, replace: bool, as_json: bool
) -> int:
    """Register the board NAME. Nothing is connected to, and no password is kept anywhere."""
    from armopt.catalog.hosts import add_host, hosts_file, list_hosts
    from armopt.core.errors import UsageError
    from armopt.runners.ssh.destination import resolve

    key = str(Path(identity).expanduser().absolute()) if identity is not None else None
    host = _host(name, device=_kind(device), ssh=ssh, python=python, folder=folder, identity=key)
    known = list_hosts()
    if name in known and not replace:
        raise UsageError(f"there is a {known[name].place} already", "give --replace, or another name")
    if key is not None and not Path(key).is_file():
        raise UsageError(f"--identity: there is no file {key}", "name a private key")
    resolve(host)  # what ssh refuses is better said now
    add_host(host)
    if as_json:
        print_record(host)
    else:
        say(f"{host.place} is registered as a {host.device}, in {hosts_file()}")
        say(f"next: armopt hosts trust {name}, then: armopt hosts prepare {name}")
    return 0


@command.command("list")
@json_option
def list_command(as_json: bool) -> int:
    """List the registered boards."""
    from armopt.catalog.hosts import hosts_file, list_hosts

    hosts = list(list_hosts().values())
    if as_json:
        print_json({"file": str(hosts_file()), "hosts": [host.model_dump(mode="json") for host in hosts]})
    elif hosts:
        from armopt.show.hosts import hosts_table

        print_rich(hosts_table(hosts))
    else:
        say("none; run: armopt hosts add NAME --device KIND --ssh USER@HOST")
    return 0


@command.command("remove")
@click.argument("name")
@json_option
def remove_command(name: str, as_json: bool) -> int:
    """Forget the board NAME. What lies on the board stays there, and its host key stays trusted."""
    from armopt.catalog.hosts import find_host, remove_host

    host = find_host(name)
    remove_host(name)
    if as_json:
        print_record(host)
    else:
        say(f"{host.place} is forgotten; its folder {host.folder} stays on the board")
    return 0


@command.command("trust")
@click.argument("name")
@click.option("--replace", is_flag=True, help="Trust it though another key is recorded for the board.")
@click.option("--yes", is_flag=True, help="Don't ask: you have compared the fingerprint, or trust this network.")
@json_option
def trust_command(name: str, replace: bool, yes: bool, as_json: bool) -> int:
    """Fetch the host key of the board NAME, show its fingerprint, and record it once you confirm it.

    It is recorded in armopt's own file; ssh's known_hosts files are read and never written. Compare the fingerprint
    with what `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` says on the board itself.
    """
    from armopt.catalog.hosts import find_host, known_hosts_file
    from armopt.runners.ssh.destination import resolve
    from armopt.runners.ssh.host_keys import check, fetch_key, look_up, trust

    host = find_host(name)
    key = fetch_key(host)
    before = look_up(resolve(host))
    check(host, key, before if before.good and not replace else before.after_trusting(key))
    new = not before.holds(key)
    if new:
        _confirm(host, key, before, yes)
        trust(host, key, replace=replace)
    file = known_hosts_file()
    if as_json:
        shown = {"host": name, "kind": key.kind, "bits": key.bits, "fingerprint": key.fingerprint}
        print_json({**shown, "new": new, "file": str(file)})
    else:
        say(f"{host.place}: {key.title} is trusted{f', recorded in {file}' if new else ' already'}")
    for old in before.good if new else ():
        if not old.source.startswith(str(file)):
            say(f"note: ssh itself still has the old key ({old.source}); ssh-keygen -R removes it")
    return 0


def _confirm(host: Host, key: HostKey, before: Recorded, yes: bool) -> None:
    """Return if the user takes the key for the board's."""
    from armopt.core.errors import UsageError
    from armopt.runners.ssh.errors import HostKeyRefused

    for old in before.good:
        say(f"recorded until now: {old.fingerprint} ({old.kind}, {old.source})")
    say(f"{host.place} shows: {key.title}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask whether that is the board's key", "compare it, then give --yes")
    if not click.confirm("Is that the key of the board?", err=True):
        raise HostKeyRefused(f"{host.place}: nothing was recorded", "compare the key with the board's own")


def _kind(device: str) -> str:
    from armopt.catalog.devices import find_device, list_devices
    from armopt.catalog.search_path import config_dir
    from armopt.core.errors import UsageError

    kind = find_device(device).name
    if kind not in list_devices():
        raise UsageError(f"{device} is in no folder of board kinds", f"copy it to {config_dir() / 'devices'}")
    return kind


def _host(name: str, **values: str | None) -> Host:
    from pydantic import ValidationError

    from armopt.core.errors import UsageError
    from armopt.core.host import Host, is_host_name

    if not is_host_name(name):
        raise UsageError(f"{name!r} is no name for a board", "use letters, digits, '.', '_' and '-'")
    try:
        return Host.model_validate({"name": name, **values})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"--{first['loc'][0]}: {message[:1].lower()}{message[1:]}") from error

"""Whether registered boards can be reached, as far as a glance of two seconds tells; nobody logs in."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from armopt.core.errors import ArmoptError
from armopt.core.host import Host
from armopt.runners.ssh.destination import resolve
from armopt.runners.ssh.host_keys import look_up

_GLANCE_S = 2.0
_AT_ONCE = 16


def board_states(hosts: Sequence[Host]) -> dict[str, str]:
    """Name of each host -> 'answers', 'no answer', 'behind a proxy, not tried', or what its entry lacks."""
    if not hosts:
        return {}
    with ThreadPoolExecutor(min(_AT_ONCE, len(hosts))) as glances:
        return dict(zip((host.name for host in hosts), glances.map(_state, hosts), strict=True))


def _state(host: Host) -> str:
    try:
        found = resolve(host)
    except ArmoptError as error:
        return error.what
    trusted = "" if look_up(found).good else f", its key is not trusted: armopt hosts trust {host.name}"
    if found.proxy:
        return "behind a proxy, not tried" + trusted
    try:
        with socket.create_connection((found.hostname, found.port), _GLANCE_S) as glance:
            answers = glance.recv(4) == b"SSH-"
    except OSError:
        answers = False
    return ("answers" if answers else "no answer") + trusted

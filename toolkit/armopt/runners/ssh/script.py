"""Runs a Python script of armopt's own on a board. It goes over stdin and is run whole or not at all.

Nothing is written on the board for it, and a connection that is cut in the middle leaves a program that read too
little, saw so by the checksum, and ended.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from armopt.core.errors import DeviceError

if TYPE_CHECKING:
    from armopt.core.host import Host
    from armopt.runners.ssh.connected import Connected
    from armopt.runners.ssh.connection import Completed

DAMAGED = 97  # the loader's exit code where what it read is not what was sent
_NOT_FOUND = 127  # POSIX shells' exit code where there is no such program

# Its arguments are SIZE SHA256 ARGS...; it runs on any Python 3. One line, without quotes that a shell reads twice.
# The rest of stdin stays in the buffer of sys.stdin for the script.
LOADER = (
    "import hashlib,sys;"
    "source=sys.stdin.buffer.read(int(sys.argv[1]));"
    f"hashlib.sha256(source).hexdigest()==sys.argv[2] or sys.exit({DAMAGED});"
    'sys.argv[:]=["armopt"]+sys.argv[3:];'
    'exec(compile(source,"armopt","exec"))'
)


def script_command(python: str, source: bytes, args: Sequence[str]) -> list[str]:
    """The program and arguments that run `source` where it comes first on stdin.

    -I: neither the board's environment nor its current folder changes what is imported; -B: nothing is written.
    """
    digest = hashlib.sha256(source).hexdigest()
    return [python, "-I", "-B", "-c", LOADER, str(len(source)), digest, *args]


def run_script(
    connection: Connected,
    host: Host,
    source: bytes,
    args: Sequence[str],
    *,
    payload: bytes | Iterable[bytes] = b"",
    silence_s: float = 30.0,
    within_s: float | None = None,
    most_bytes: int = 1 << 20,
    on_stdout: Callable[[bytes], None] | None = None,
) -> Completed:
    """Run `source` as `__main__` by the host's Python, with `sys.argv` of "armopt" and `args`.

    Args:
        connection: an open one.
        host: whose Python is taken.
        source: the script; it reads its payload from `sys.stdin.buffer`, never from descriptor 0.
        args: the script's arguments, each passed on as it is.
        payload: what the script finds on its stdin.
        silence_s: seconds without a byte either way after which the connection counts as lost.
        within_s: seconds in all, as `Connection.run` counts them; None: no such limit.
        most_bytes: of the script's output that are taken; more is an error.
        on_stdout: gets the output while it comes.

    Returns:
        The script's exit code and output; what the code means is the script's own matter.

    Raises:
        LostConnection: the connection broke.
        DeviceError: the board has no such Python, or the script came there damaged and was not run.
    """
    stdin = itertools.chain([source], [payload] if isinstance(payload, bytes) else payload)
    done = connection.run(
        script_command(host.python, source, args),
        stdin=stdin,
        silence_s=silence_s,
        within_s=within_s,
        most_bytes=most_bytes,
        on_stdout=on_stdout,
    )
    if done.code == DAMAGED:
        raise DeviceError(f"{host.name}: a script came to the board damaged and was not run", "run again")
    if done.code == _NOT_FOUND and not done.stdout:
        raise DeviceError(
            f"{host.name}: the board has no program {host.python!r}",
            "install Python 3 there (Debian: sudo apt install python3), or correct `python` in hosts.toml",
        )
    return done

"""How long a model takes to a board over a slow link, and what an unchanged one costs. Needs sshd on this machine.

    python benchmarks/slow_link.py --megabits 10

The board is this machine behind a real sshd on loopback, the link a relay that carries so many bits a second each way.
A model is sent and installed in one connection, as `armopt deploy` does with the model that it chose; then once more.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/integration"))
from relay import Relay
from sshd import Sshd

from armopt.core.host import Host
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.board_run import Setup
from armopt.runners.ssh.connection import Connection
from armopt.runners.ssh.installing import install

SETUP = Setup(sys.executable, None)


def models(size: int) -> dict[str, bytes]:
    """What can't be compressed, and bytes as INT8 models hold them: dense, half of them zero, sixteen values."""
    random = np.random.default_rng(1)
    dense = np.clip(np.round(random.normal(scale=30, size=size)), -127, 127).astype(np.int8)
    codes = np.round(np.linspace(-90, 90, 16)).astype(np.int8)
    return {
        "random bytes": random.bytes(size),
        "dense": dense.tobytes(),
        "half zeros": np.where(np.abs(dense) < 20, 0, dense).astype(np.int8).tobytes(),
        "16 clusters": codes[np.abs(dense[:, None] - codes[None, :]).argmin(1)].tobytes(),
    }


def reached_through(server: Sshd, relay: Relay, folder: Path) -> Host:
    """The server as a host, its key trusted, all of it in a folder of ours."""
    lines = [f"Port {relay.port}", f"HostKeyAlias [127.0.0.1]:{server.port}"]
    os.environ["ARMOPT_SSH_CONFIG"] = str(server.config("board", lines=lines))
    os.environ["ARMOPT_CONFIG_DIR"] = os.environ["ARMOPT_CACHE_DIR"] = str(folder)
    (folder / "known_hosts").write_text(server.known_hosts_line())
    return Host(name="board", device="pi4", ssh="board", python=sys.executable)


def installed(host: Host, name: str, model: bytes) -> float:
    """Seconds to install it."""
    began = time.monotonic()
    with closing(BoardFolder(host, lambda: Connection(host, say=print), print)) as board:
        board.lock()
        install(board, SETUP, name, {"model.tflite": model})
    return time.monotonic() - began


def main() -> None:
    """Print a line for each model: the first time, and unchanged."""
    parser = argparse.ArgumentParser(description="Time and bytes of a model on its way to a board.")
    parser.add_argument("--megabits", type=float, default=10.0, help="a second, each way")
    parser.add_argument("--megabytes", type=float, default=4.0, help="of the model")
    options = parser.parse_args()
    rate = options.megabits * 1e6 / 8
    print(f"{options.megabytes:g} MB over {options.megabits:g} Mbit/s; 'link' is the time that the carried bytes take")
    print(f"{'model':14}{'seconds':>9}{'carried':>11}{'link':>7}{'uncompressed':>14}{'unchanged':>11}{'carried':>11}")
    with tempfile.TemporaryDirectory() as scratch, Sshd(Path(scratch, "server")) as server:
        for name, model in models(round(options.megabytes * 1e6)).items():
            with Relay(server.port, bytes_per_s=rate) as relay:
                host = reached_through(server, relay, Path(scratch))
                seconds, carried = installed(host, name, model), relay.carried
                again = installed(host, name, model)
                print(
                    f"{name:14}{seconds:8.1f}s{carried / 1e6:8.2f} MB{carried / rate:6.1f}s{len(model) / rate:13.1f}s"
                    f"{again:10.1f}s{(relay.carried - carried) / 1e3:8.0f} kB"
                )


if __name__ == "__main__":
    main()

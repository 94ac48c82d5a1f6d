"""A virtual board that all integration tests share: take `virtual_board` as an argument; conftest.py offers it.

def test_something(virtual_board: Board) -> None:
    with Connection(virtual_board.host, say=print) as connection: ...

It is registered as host `virtual` in a config folder of the tests' own (ARMOPT_CONFIG_DIR points there from the first
test that takes it), and it lives in memory: a reboot empties its home. Leave it with the right clock and an empty home.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from armopt.core.host import Host
from armopt.runners.virtual.answering import says_hello
from armopt.runners.virtual.board import VirtualBoard
from armopt.runners.virtual.qemu_options import Settings

HOME = "/home/armopt"
_BOOT_ID = ["cat", "/proc/sys/kernel/random/boot_id"]
_REBOOT_S = 90.0
_BLOCK = 4096  # of a file system in memory


@dataclass(frozen=True)
class Board:
    """A running board.

    Attributes:
        host: how armopt reaches it.
        port: where it listens, on 127.0.0.1.
        config_dir: the folder whose hosts.toml and known_hosts know it.
        console: the file with what its kernel and sshd say.
    """

    host: Host
    port: int
    config_dir: Path
    console: Path

    def run_as_root(
        self, argv: Sequence[str], *, stdin: bytes = b"", limit_s: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the board by OpenSSH's client, not by armopt's own."""
        return subprocess.run(
            [*self._ssh(), shlex.join(argv)], input=stdin, capture_output=True, timeout=limit_s, check=check
        )

    def reboot(self) -> None:
        """Reboot, and wait until it answers again."""
        before = self.boot_id()
        self.run_as_root(["reboot"], check=False)
        end = time.monotonic() + _REBOOT_S
        while True:
            if says_hello(self.port):  # ssh itself waits long for a board that does not
                answer = self.run_as_root(_BOOT_ID, check=False)
                if answer.returncode == 0 and answer.stdout.decode().strip() != before:
                    return
            assert time.monotonic() < end, f"it does not come back: {self.console.read_text(errors='replace')}"
            time.sleep(0.2)

    def boot_id(self) -> str:
        """Another one after each boot."""
        return self.run_as_root(_BOOT_ID).stdout.decode().strip()

    def clock(self) -> float:
        """The board's clock, in seconds since 1970."""
        return float(self.run_as_root(["date", "+%s"]).stdout)

    def set_clock(self, ahead_s: float) -> None:
        """Set the board's clock so much ahead of this machine's; 0 sets it right."""
        self.run_as_root(["date", "-s", f"@{time.time() + ahead_s:.0f}"])

    def free_home_bytes(self) -> int:
        """Room that is left in the home."""
        return int(self.run_as_root(["stat", "-f", "-c", "%a", HOME]).stdout) * _BLOCK

    def fill_home(self, leave_bytes: int = 0) -> None:
        """Fill the home up; `empty_home` makes room again."""
        fill = f"fallocate -l $(($(stat -f -c %a {HOME}) * {_BLOCK} - {leave_bytes})) {HOME}/filler"
        self.run_as_root(["sh", "-c", fill])

    def empty_home(self) -> None:
        """Remove everything from the home."""
        self.run_as_root(["find", HOME, "-mindepth", "1", "-maxdepth", "1", "-exec", "rm", "-rf", "--", "{}", "+"])

    def _ssh(self) -> list[str]:
        assert self.host.identity
        options = [
            "BatchMode=yes", "ConnectTimeout=5", "IdentitiesOnly=yes", "IdentityAgent=none", "LogLevel=ERROR",
            "StrictHostKeyChecking=yes", f'UserKnownHostsFile="{self.config_dir / "known_hosts"}"',
        ]  # fmt: skip
        place = self.host.ssh.replace("armopt@", "root@")
        command = ["ssh", "-F", os.devnull, "-i", self.host.identity]
        return [*command, *(word for option in options for word in ("-o", option)), place]


@pytest.fixture(scope="session")
def virtual_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A board that no test has changed for good; its image is taken from the user's cache, or built into it."""
    for program, package in (("qemu-system-aarch64", "qemu-system-arm"), ("ssh", "openssh-client")):
        if shutil.which(program) is None:
            pytest.skip(f"{package} is not installed")
    folder = tmp_path_factory.mktemp("virtual-board")
    config = folder / "config"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARMOPT_CONFIG_DIR", str(config))
        board = VirtualBoard(folder / "board")
        try:
            running, _ = board.start(Settings(), say=print)
            port = running.state.port
            yield Board(board.host(port), port, config, board.console)
        finally:
            board.stop()

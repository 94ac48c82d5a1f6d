"""The virtual board as a user sees it: started, stopped, asked for, and registered as a host like any other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from armopt.catalog.hosts import add_host, list_hosts
from armopt.catalog.search_path import cache_dir
from armopt.core.errors import DeviceError, UsageError
from armopt.core.host import Host
from armopt.runners.base import Say
from armopt.runners.ssh.host_keys import trust
from armopt.runners.virtual.answering import wait_until_up
from armopt.runners.virtual.image import ensure_image
from armopt.runners.virtual.keys import KeyPair, ensure_key
from armopt.runners.virtual.machine import Machine, Running
from armopt.runners.virtual.qemu_options import Settings

NAME = "virtual"  # of the host, and of its kind
USER = "armopt"
_BOOT_S = 90.0  # nine times what it takes
_LOCK_S = 600.0  # another start may have an image to fetch
# What the system takes while it unpacks itself; below, the kernel gives up.
_SYSTEM_MIB = 320


class VirtualBoard:
    """The virtual board of one folder; the image is shared by all.

    Args:
        folder: for its keys, its console and its state; None: the user's own board, in the cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or cache_dir() / "board").absolute()
        self._machine = Machine(self.folder)

    @property
    def console(self) -> Path:
        """What its kernel and its sshd say."""
        return self._machine.console

    @property
    def client_key(self) -> KeyPair:
        """The key that logs in as `armopt` and as `root`; made on first use."""
        return ensure_key(self.folder / "client_key")

    def running(self) -> Running | None:
        """The board's process, if it runs."""
        return self._machine.running()

    def host(self, port: int) -> Host:
        """The board as a host."""
        ssh = f"ssh://{USER}@127.0.0.1:{port}"
        return Host(name=NAME, device=NAME, ssh=ssh, identity=str(self.client_key.private))

    def start(self, settings: Settings, *, say: Say, offline: bool = False) -> tuple[Running, bool]:
        """The board, up and registered; whether it was started now. One that runs already keeps its settings.

        Raises:
            UsageError: the home does not fit into the memory, or a host of another kind is called `virtual`.
            DeviceError: a program is missing, the image can't be built, the port is taken, or it does not boot.
        """
        if settings.memory_mib < settings.home_mib + _SYSTEM_MIB:
            raise UsageError(
                f"a home of {settings.home_mib}M and the system do not fit into {settings.memory_mib}M",
                f"give --memory {settings.home_mib + _SYSTEM_MIB}M or more",
            )
        taken = list_hosts().get(NAME)
        if taken is not None and taken.device != NAME:
            raise UsageError(f"{taken.place} has the virtual board's name", "rename it in hosts.toml, or remove it")
        with self._alone():
            running = self._machine.running()
            if running is None:
                return self._boot(settings, say=say, offline=offline), True
            self._register(running)
            wait_until_up(self._machine, self.host(running.state.port), running.state.port, _BOOT_S, say=say)
            return running, False

    def stop(self) -> bool:
        """End it; whether it ran. Its host stays registered, its keys stay the same.

        Raises:
            DeviceError: its process does not end.
        """
        if not self.folder.is_dir():
            return False
        with self._alone():
            return self._machine.kill()

    def _boot(self, settings: Settings, *, say: Say, offline: bool) -> Running:
        image = ensure_image(say=say, offline=offline)
        began = time.monotonic()
        running = self._machine.launch(image, settings, self._host_key(), self.client_key)
        try:
            say(f"virtual board: booting (its console: {self.console})")
            self._register(running)
            wait_until_up(self._machine, self.host(running.state.port), running.state.port, _BOOT_S, say=say)
        except BaseException:
            self._machine.kill()
            raise
        say(f"virtual board: up after {time.monotonic() - began:.1f} s")
        return running

    def _host_key(self) -> KeyPair:
        return ensure_key(self.folder / "host_key")

    def _register(self, running: Running) -> None:
        host = self.host(running.state.port)
        add_host(host)
        # Nobody has to compare fingerprints: the key was made here.
        trust(host, self._host_key().as_host_key(), replace=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Meanwhile no other process starts or stops this board; what the disk refuses is told as one line."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self.folder / "lock", timeout=_LOCK_S):
                yield
        except Timeout as error:
            raise DeviceError("another armopt starts or stops the virtual board", "wait for it") from error
        except OSError as error:
            place = error.filename or self.folder
            raise DeviceError(f"{place}: {error.strerror or error}", "make room or permit it") from error

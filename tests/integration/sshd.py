"""A real OpenSSH sshd on a loopback port, with keys and a home of its own, as the user who runs the tests.

with Sshd(tmp_path) as server:
    host = server.host("board", monkeypatch)   # a registered Host whose key is trusted; or build one by hand:
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(server.config("board")))

Commands run by `/bin/sh -c` in `server.home`, which is $HOME for them, so nothing of the user's own is touched.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from armopt.core.host import Host

_STARTS_S = 10.0
_IN_HOME = 'cd "$HOME" && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'


class Sshd:
    """The server; a context manager that starts and stops it.

    Args:
        folder: an empty folder for its files, which it makes.
        force_command: a shell command to run whatever the client asks for, which is in $SSH_ORIGINAL_COMMAND: a board
            that misbehaves. None: what the client asks for, in `home`.
        address: 127.0.0.1 or ::1.
        key_type: of the host key: ed25519, rsa, ecdsa.
        options: further lines of sshd_config; they come first, and in that file the first of a kind counts.

    Attributes:
        port: where it listens; stays the same over `restart`.
        host_key: the private host key; the public one is beside it, ending in .pub.
        client_key: the private key that may log in, without a passphrase.
        authorized_keys: the public keys that may log in; read at each login.
        home: the folder that commands run in.
        log: what the server says.
    """

    def __init__(
        self,
        folder: Path,
        *,
        force_command: str | None = None,
        address: str = "127.0.0.1",
        key_type: str = "ed25519",
        options: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.address, self.port = folder, address, free_port(address)
        self.host_key, self.client_key = folder / "host_key", folder / "client_key"
        self.authorized_keys, self.home, self.log = folder / "authorized_keys", folder / "home", folder / "sshd.log"
        self.home.mkdir(exist_ok=True)
        self._key_type = key_type
        make_key(self.host_key, key_type)
        make_key(self.client_key)
        shutil.copyfile(self.client_key.with_suffix(".pub"), self.authorized_keys)
        command = _IN_HOME if force_command is None else force_command
        lines = [
            *options, f"Port {self.port}", f"ListenAddress {address}", f'HostKey "{self.host_key}"', "PidFile none",
            f'AuthorizedKeysFile "{self.authorized_keys}"', "StrictModes no", "UsePAM no", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", "MaxStartups 100", f'SetEnv "HOME={self.home}"', "LogLevel VERBOSE",
            f"ForceCommand {command}",
        ]  # fmt: skip
        self._config = folder / "sshd_config"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        sshd = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
        assert sshd, "these tests need sshd: install openssh-server"
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it for its unprivileged part
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sshd, "-D", "-e", "-f", self._config], stderr=log, stdin=subprocess.DEVNULL
            )
        end = time.monotonic() + _STARTS_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1) as probe:
                if probe.recv(4) == b"SSH-":
                    return
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"sshd does not answer: {self.log.read_text()}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it and break its connections. Commands that it started are not killed, as when a network breaks."""
        if self._process is not None:
            doomed = [self._process.pid, *self._sessions()]
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """Break the connections that there are; new ones are accepted."""
        for pid in self._sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart(self) -> None:
        """Stop it, and start it on the same port."""
        self.stop()
        self.start()

    def change_host_key(self) -> None:
        """Restart with another host key, as a board does that was installed anew."""
        for path in (self.host_key, self.host_key.with_suffix(".pub")):
            path.unlink()
        make_key(self.host_key, self._key_type)
        self.restart()

    def known_hosts_line(self) -> str:
        """The host key as ssh would record it."""
        kind, key = self.host_key.with_suffix(".pub").read_text().split()[:2]
        return f"[{self.address}]:{self.port} {kind} {key}\n"

    def fingerprint(self) -> str:
        """The host key's fingerprint by ssh-keygen: SHA256:..."""
        shown = subprocess.run(["ssh-keygen", "-l", "-f", self.host_key], capture_output=True, text=True, check=True)
        return shown.stdout.split()[1]

    def config(self, alias: str, *, lines: Sequence[str] = ()) -> Path:
        """An ssh_config file in which `alias` is this server; further lines come first, so they win.

        It knows no host keys: its UserKnownHostsFile is `folder / "user_known_hosts"`, which is not there.
        """
        path = self.folder / f"ssh_config_{alias}"
        block = [
            *lines, f"HostName {self.address}", f"Port {self.port}", f"User {getpass.getuser()}",
            f'IdentityFile "{self.client_key}"', "IdentitiesOnly yes", "IdentityAgent none",
            f'UserKnownHostsFile "{self.folder / "user_known_hosts"}"', "GlobalKnownHostsFile none",
        ]  # fmt: skip
        path.write_text(f"Host {alias}\n" + "".join(f"  {line}\n" for line in block))
        return path

    def host(self, name: str, monkeypatch: pytest.MonkeyPatch, *, device: str = "pi4") -> Host:
        """A host of that name, registered in a config folder of its own, which knows this server's key."""
        from armopt.catalog.hosts import add_host, known_hosts_file

        monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(self.folder / "armopt-config"))
        monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(self.config(name)))
        host = Host(name=name, device=device, ssh=name)
        add_host(host)
        known_hosts_file().write_text(self.known_hosts_line())
        return host

    def _sessions(self) -> list[int]:
        """The processes of sshd that serve connections; not the commands that they run."""
        assert self._process is not None
        found, looking = [], [self._process.pid]
        while looking:
            for pid in _children(looking.pop()):
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                        found.append(pid)
                        looking.append(pid)
        return found


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            # pid (name) state ppid ...: the name may hold spaces and parentheses
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def make_key(path: Path, key_type: str = "ed25519", *, passphrase: str = "") -> None:
    """A key pair: `path` and `path`.pub."""
    size = ["-b", "2048"] if key_type == "rsa" else []  # larger ones take seconds to make
    command = ["ssh-keygen", "-q", "-t", key_type, *size, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

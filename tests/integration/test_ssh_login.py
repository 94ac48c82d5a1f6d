from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshd import Sshd, free_port, make_key

from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh.connection import Connection, Limits
from armopt.runners.ssh.errors import LoginRefused, LostConnection

QUICK = Limits(connect_s=0.7, answer_s=0.7)


@pytest.fixture
def host(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    taken = server.authorized_keys.read_text()
    yield server.host("board", monkeypatch)
    server.authorized_keys.write_text(taken)


@pytest.fixture
def own_key(server: Sshd, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key of the test's own in place of the server's: the only one that may log in and the only one named."""
    path = tmp_path / "own key"
    make_key(path)
    server.authorized_keys.write_text(path.with_suffix(".pub").read_text())
    rename(server, path, monkeypatch)
    return path


def rename(server: Sshd, key: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    config = server.config("board", lines=[*lines, f'IdentityFile "{key}"'])
    config.write_text(config.read_text().replace(f'IdentityFile "{server.client_key}"', ""))
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(config))


def says(host: Host, limits: Limits | None = None) -> bytes:
    with Connection(host, say=print, limits=limits) as connection:
        return connection.run(["echo", "hello"]).stdout


def test_a_key_that_is_not_on_the_board_is_refused(server: Sshd, host: Host, own_key: Path) -> None:
    server.authorized_keys.write_text("")
    with pytest.raises(
        LoginRefused, match=r"refuses to log .* in by .*own key; put your key there \(ssh-copy-id"
    ) as caught:
        says(host)
    assert str(own_key) in str(caught.value)
    own_key.unlink()
    with pytest.raises(LoginRefused, match="there is no key to log in with; make one"):
        says(host)


def test_a_locked_key_wants_an_agent(host: Host, own_key: Path) -> None:
    own_key.unlink()
    own_key.with_suffix(".pub").unlink()
    make_key(own_key, passphrase="secret")
    with pytest.raises(LoginRefused, match=f"is locked by a passphrase; run: ssh-add {own_key}"):
        says(host)


def test_a_hosts_own_identity_is_the_only_key_that_is_offered(server: Sshd, host: Host, own_key: Path) -> None:
    assert says(host) == b"hello\n"
    other = host.model_copy(update={"identity": str(server.client_key)})
    with pytest.raises(LoginRefused, match=f"by {server.client_key}; put"):
        says(other)
    server.authorized_keys.write_text(server.client_key.with_suffix(".pub").read_text())
    assert says(other) == b"hello\n"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "agent.sock"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
        while not path.exists():
            time.sleep(0.01)
        yield path
        process.terminate()


def add_to(agent: Path, *arguments: str | Path) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", *arguments], env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("named", ["environment", "IdentityAgent"])
@pytest.mark.parametrize("public", [True, False])
def test_an_agents_key_logs_in(
    server: Sshd, host: Host, own_key: Path, agent: Path, named: str, public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_to(agent, own_key)
    own_key.unlink()  # its public half tells which of the agent's keys is meant
    line = f"IdentityAgent {agent}"
    if named == "environment":
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        line = "IdentityAgent SSH_AUTH_SOCK"
    rename(server, own_key.with_suffix(".pub") if public else own_key, monkeypatch, line)
    assert says(host) == b"hello\n"


def test_an_agent_with_many_keys_does_not_use_up_the_tries(
    server: Sshd, host: Host, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        make_key(tmp_path / f"key{number}")
        add_to(agent, tmp_path / f"key{number}")
    lines = [f"IdentityAgent {agent}", "IdentitiesOnly no"]
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(server.config("board", lines=lines)))
    assert says(host) == b"hello\n"
    server.authorized_keys.write_text("")
    with pytest.raises(LoginRefused, match=r"closed the connection after 6 keys.*IdentitiesOnly"):
        says(host)


def test_an_agent_that_does_not_sign_is_named(
    server: Sshd, host: Host, own_key: Path, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = tmp_path / "ask"
    ask.write_text("#!/bin/sh\nexit 1\n")  # what asks the user to confirm: refused
    ask.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(ask))
    add_to(agent, "-c", own_key)
    own_key.unlink()
    rename(server, own_key, monkeypatch, f"IdentityAgent {agent}")
    with pytest.raises(LoginRefused, match="the ssh agent did not sign"):
        says(host)


def test_a_board_that_takes_only_passwords_or_more_than_a_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (option, message) in enumerate((
        ("PubkeyAuthentication no\nPasswordAuthentication yes", "takes no keys, only: password"),
        ("AuthenticationMethods publickey,password\nPasswordAuthentication yes", "wants more than a key: password"),
    )):  # fmt: skip
        with Sshd(tmp_path / f"server{number}", options=[option]) as server:
            host = server.host("board", monkeypatch)
            with pytest.raises(LoginRefused, match=message):
                says(host)


def test_a_server_that_runs_no_commands_is_no_lost_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sshd(tmp_path / "server", options=["MaxSessions 0"]) as server:
        with pytest.raises(DeviceError, match="runs no commands") as caught:
            says(server.host("board", monkeypatch))
        assert not isinstance(caught.value, LostConnection)


def test_a_jump_host_is_gone_through_and_its_key_is_checked_by_ssh(
    server: Sshd, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sshd(tmp_path / "jump") as jump:
        server.authorized_keys.write_text(jump.client_key.with_suffix(".pub").read_text())
        board = server.config("board", lines=["ProxyJump jump", f"IdentityFile {jump.client_key}"])
        config = tmp_path / "config"
        config.write_text(f'Include "{board}"\nInclude "{jump.config("jump")}"\n')
        monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(config))
        with pytest.raises(LostConnection, match="no connection through the proxy: Host key verification failed"):
            says(host)
        (jump.folder / "user_known_hosts").write_text(jump.known_hosts_line())
        assert says(host) == b"hello\n"
        assert "Accepted publickey" in jump.log.read_text()


def test_a_proxy_command_carries_the_connection(server: Sshd, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    pump = server.folder / "pump.py"
    pump.write_text("import os, socket, sys, threading\n"
                    "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
                    "def out():\n  while d := s.recv(9999): os.write(1, d)\n"
                    "threading.Thread(target=out, daemon=True).start()\n"
                    "while d := os.read(0, 9999): s.sendall(d)\n")  # fmt: skip
    for command, works in ((f'python3 "{pump}" %h %p', True), ("echo broken >&2; exit 1", False)):
        monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(server.config("board", lines=[f"ProxyCommand {command}"])))
        if works:
            assert says(host) == b"hello\n"
        else:
            with pytest.raises(LostConnection, match="through the proxy: broken"):
                says(host)


def test_ipv6_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sshd(tmp_path / "server", address="::1") as server:
        assert says(server.host("board", monkeypatch)) == b"hello\n"


def test_places_where_no_board_is_are_one_line_each(server: Sshd, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for line, message in (
        (f"Port {free_port()}", r"127.0.0.1 port [0-9]+ refuses connections; start sshd there"),
        ("HostName board.invalid", "no address for board.invalid; check the name"),
    ):
        monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(server.config("board", lines=[line])))
        with pytest.raises(LostConnection, match=message):
            says(host)


NO_SSH = [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"\x1b[2J" * 99, b"SSH-2.0-x\r\n" + b"\xff" * 99]


@contextlib.contextmanager
def greets(greeting: bytes) -> Iterator[int]:
    """A port where that is said and then nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def accept() -> None:
            client, _ = listener.accept()
            held.append(client)
            client.sendall(greeting)

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        held[0].close()


@pytest.mark.parametrize("greeting", NO_SSH)
def test_a_server_that_is_none_is_told_within_the_time(
    greeting: bytes, server: Sshd, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with greets(greeting) as port:
        monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(server.config("board", lines=[f"Port {port}"])))
        started = time.monotonic()
        with pytest.raises(LostConnection, match="handshake") as caught:
            says(host, QUICK)
        assert time.monotonic() - started < 5
        assert "\x1b" not in str(caught.value)


@pytest.mark.usefixtures("host")
def test_what_paramiko_logs_does_not_reach_the_user(server: Sshd) -> None:
    # In a process of its own, since pytest takes logs before Python would print them.
    with greets(b"SSH-2.0-x\r\n" + b"\xff" * 99) as port:
        config = str(server.config("board", lines=[f"Port {port}"]))
        command = [sys.executable, "-m", "armopt", "hosts", "trust", "board", "--yes"]
        environment = {**os.environ, "ARMOPT_SSH_CONFIG": config}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("armopt: host board: no SSH handshake")

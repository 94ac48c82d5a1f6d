from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshd import Sshd, make_key

from armopt.catalog.hosts import known_hosts_file
from armopt.cli.main import run
from armopt.core.host import Host
from armopt.runners.ssh.connection import Connection
from armopt.runners.ssh.errors import HostKeyRefused
from armopt.runners.ssh.host_keys import fetch_key, trust


@pytest.fixture
def host(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    yield server.host("board", monkeypatch)
    (server.folder / "user_known_hosts").unlink(missing_ok=True)


def says(host: Host) -> bytes:
    with Connection(host, say=print) as connection:
        return connection.run(["echo", "hello"]).stdout


def test_an_unknown_key_is_refused_until_it_is_trusted(
    server: Sshd, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    known_hosts_file().unlink()
    with pytest.raises(HostKeyRefused, match=r"not known: 256 SHA256:.* run: armopt hosts trust board") as caught:
        says(host)
    assert server.fingerprint() in str(caught.value)
    assert run(["hosts", "trust", "board"]) == 2  # there is no terminal to ask on
    assert "give --yes" in capsys.readouterr().err
    assert not known_hosts_file().exists()
    assert run(["hosts", "trust", "board", "--yes", "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["fingerprint"] == server.fingerprint()
    assert document["new"]
    assert f"256 {server.fingerprint()} (ED25519)" in told.err
    assert known_hosts_file().stat().st_mode & 0o777 == 0o600
    assert says(host) == b"hello\n"
    assert run(["hosts", "trust", "board"]) == 0  # nothing to ask
    assert "is trusted already" in capsys.readouterr().err


@pytest.mark.usefixtures("host")
def test_a_terminal_is_asked_and_only_a_yes_counts(server: Sshd) -> None:
    known_hosts_file().unlink()
    for answer, code, told in (
        ("n", 4, "nothing was recorded"),
        ("", 4, "nothing was recorded"),
        ("y", 0, "is trusted"),
    ):
        ours, its = pty.openpty()
        os.write(ours, answer.encode() + b"\n")
        command = [sys.executable, "-m", "armopt", "hosts", "trust", "board"]
        done = subprocess.run(command, stdin=its, capture_output=True, text=True, check=False)
        os.close(ours)
        os.close(its)
        assert (done.returncode, done.stdout) == (code, "")
        assert f"{server.fingerprint()} (ED25519)" in done.stderr
        assert told in done.stderr
        assert known_hosts_file().exists() == (answer == "y")


def test_a_changed_key_is_refused_until_it_is_replaced(
    server: Sshd, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    old = server.fingerprint()
    other = "[10.0.0.1]:22 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n"
    known_hosts_file().write_text("# mine\n" + other + server.known_hosts_line())
    server.change_host_key()
    with pytest.raises(
        HostKeyRefused, match=r"has changed: .*this may be an attack, or the board was installed anew"
    ) as caught:
        says(host)
    assert old in str(caught.value)
    assert server.fingerprint() in str(caught.value)
    for arguments in ([], ["--yes"]):
        assert run(["hosts", "trust", "board", *arguments]) == 4
        assert "--replace" in capsys.readouterr().err
    with pytest.raises(HostKeyRefused, match="has changed"):
        trust(host, fetch_key(host))
    assert run(["hosts", "trust", "board", "--replace", "--yes"]) == 0
    told = capsys.readouterr().err
    assert old in told
    assert known_hosts_file().read_text() == "# mine\n" + other + server.known_hosts_line()
    assert says(host) == b"hello\n"


def test_keys_that_ssh_knows_are_known_and_its_files_are_not_written(
    server: Sshd, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    known_hosts_file().unlink()
    theirs = server.folder / "user_known_hosts"
    theirs.write_text(server.known_hosts_line())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", theirs], check=True, capture_output=True)
    before = theirs.read_bytes()
    assert says(host) == b"hello\n"
    server.change_host_key()
    with pytest.raises(HostKeyRefused, match=f"has changed.*{theirs}:1"):
        says(host)
    assert run(["hosts", "trust", "board", "--replace", "--yes"]) == 0
    assert f"ssh itself still has the old key ({theirs}:1)" in capsys.readouterr().err
    assert says(host) == b"hello\n"
    assert theirs.read_bytes() == before


@pytest.mark.parametrize("file", ["own", "theirs"])
def test_a_revoked_key_is_refused_though_it_is_recorded(server: Sshd, host: Host, file: str) -> None:
    path = known_hosts_file() if file == "own" else server.folder / "user_known_hosts"
    with path.open("a") as lines:
        lines.write("@revoked * " + server.known_hosts_line().split(maxsplit=1)[1])
    with pytest.raises(HostKeyRefused, match="is revoked"):
        says(host)
    assert run(["hosts", "trust", "board", "--replace", "--yes"]) == 4


def test_a_host_known_by_its_rsa_key_is_asked_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = tmp_path / "ed25519"
    make_key(second)
    with Sshd(tmp_path / "server", key_type="rsa", options=[f"HostKey {second}"]) as server:
        host = server.host("board", monkeypatch)
        assert fetch_key(host).kind == "ssh-rsa"
        assert says(host) == b"hello\n"
        known_hosts_file().unlink()
        assert fetch_key(host).kind == "ssh-ed25519"


def test_an_alias_for_the_host_key_names_it(server: Sshd, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(server.config("board", lines=["HostKeyAlias The-Board"])))
    with pytest.raises(HostKeyRefused, match="not known"):
        says(host)
    assert run(["hosts", "trust", "board", "--yes"]) == 0
    assert known_hosts_file().read_text().splitlines()[-1].startswith("the-board ssh-ed25519 ")
    assert says(host) == b"hello\n"

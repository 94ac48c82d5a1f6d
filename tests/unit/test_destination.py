from __future__ import annotations

import getpass
import os
import pwd
import socket
import subprocess
from pathlib import Path

import pytest

from armopt.core.errors import UsageError
from armopt.core.host import Host
from armopt.runners.ssh.destination import resolve

# ssh asks the user database, whatever the variable HOME says.
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh_config for tests to fill, in a folder whose name has a space."""
    path = tmp_path / "my folder" / "config"
    path.parent.mkdir()
    path.write_text("")
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(path))
    return path


def at(ssh: str) -> Host:
    return Host(name="mypi", device="pi4", ssh=ssh)


def test_an_alias_is_what_ssh_makes_of_it_includes_and_matches_too(config: Path) -> None:
    (config.parent / "more").write_text("Host board\n  HostName 10.1.2.3\n  Port 2222\n")
    config.write_text(
        f'Include "{config.parent / "more"}"\n'
        "Match host 10.1.2.3 user root\n  IdentityFile ~/.ssh/root_key\n"
        "Host board\n  User root\n  HostKeyAlias the-board\n  ConnectTimeout 3\n  IdentitiesOnly yes\n"
        f'  IdentityFile "{config.parent}/a key"\n  IdentityFile %d/%h_%r\n  IdentityAgent none\n  AddressFamily inet\n'
    )
    found = resolve(at("board"))
    assert (found.hostname, found.port, found.user) == ("10.1.2.3", 2222, "root")
    assert found.host_key_alias == "the-board"
    assert found.connect_s == 3.0
    assert found.identities_only
    assert found.identity_agent == ""
    assert found.family == socket.AF_INET
    assert found.proxy == ()
    assert set(found.identity_files) == {
        HOME / ".ssh/root_key",
        config.parent / "a key",
        HOME / "10.1.2.3_root",
    }


def test_what_is_written_in_the_destination_wins_over_the_file(config: Path) -> None:
    config.write_text("Host board\n  HostName 10.1.2.3\n  Port 2222\n  User root\n")
    for written in ("ssh://pi@board:77", "pi@board:77"):
        found = resolve(at(written))
        assert (found.hostname, found.port, found.user) == ("10.1.2.3", 77, "pi")


@pytest.mark.parametrize(
    ("ssh", "expected"),
    [
        ("pi@board.local", ("board.local", 22, "pi")),
        ("ssh://pi@[::1]:2222", ("::1", 2222, "pi")),
        ("ssh://[::1]", ("::1", 22, getpass.getuser())),
        ("pi@::1", ("::1", 22, "pi")),
        ("ssh://board/", ("board", 22, getpass.getuser())),
    ],
)
@pytest.mark.usefixtures("config")
def test_destinations_without_an_entry(
    ssh: str, expected: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolve(at(ssh))
    assert (found.hostname, found.port, found.user) == expected
    assert found.identity_agent is None
    assert found.note == ""
    monkeypatch.setenv("PATH", "")
    found = resolve(at(ssh))
    assert (found.hostname, found.port, found.user) == expected
    assert "there is no ssh program" in found.note


def test_a_jump_becomes_the_command_that_ssh_itself_would_run(config: Path) -> None:
    config.write_text("Host board\n  HostName fe80::1\n  Port 2222\n  ProxyJump a@one:2200,two,b@three:33\n")
    proxy = resolve(at("board")).proxy
    ssh, *rest = proxy
    assert Path(ssh).name == "ssh"
    assert rest == ["-F", str(config), "-o", "BatchMode=yes", "-W", "[fe80::1]:2222", "-J", "a@one:2200,two",
                    "-l", "b", "-p", "33", "--", "three"]  # fmt: skip


def test_a_proxy_command_is_run_by_the_users_shell_with_its_tokens_filled(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    config.write_text('Host board\n  HostName 10.1.2.3\n  User root\n  ProxyCommand printf "%%s;" "%h" %p %r %n\n')
    proxy = resolve(at("board")).proxy
    assert subprocess.run(proxy, capture_output=True, text=True, check=True).stdout == "10.1.2.3;22;root;board;"


def test_known_hosts_files_may_have_spaces_in_their_names(config: Path) -> None:
    there = config.parent / "known hosts"
    there.write_text("")
    config.write_text(f'Host a\n  UserKnownHostsFile "{there}"\nHost b\n  UserKnownHostsFile /x/one ~/two\n'
                      "Host *\n  GlobalKnownHostsFile none\n")  # fmt: skip
    assert resolve(at("a")).known_hosts == (there,)
    assert resolve(at("b")).known_hosts == (Path("/x/one"), HOME / "two")


def test_the_agent_may_be_named_by_a_path_or_a_variable(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_AGENT", "/run/agent.sock")
    config.write_text("Host a\n  IdentityAgent $MY_AGENT\nHost b\n  IdentityAgent ~/agent.sock\n"
                      "Host c\n  IdentityAgent SSH_AUTH_SOCK\n")  # fmt: skip
    assert resolve(at("a")).identity_agent == "/run/agent.sock"
    assert resolve(at("b")).identity_agent == str(HOME / "agent.sock")
    assert resolve(at("c")).identity_agent is None


def test_a_configuration_that_ssh_refuses_is_one_line(config: Path) -> None:
    config.write_text("Host a\n  NoSuchThing yes\n")
    with pytest.raises(UsageError, match=r"host mypi \(a\): ssh refuses it: .*nosuchthing") as caught:
        resolve(at("a"))
    assert "\n" not in str(caught.value)


def test_a_destination_that_escaped_the_records_checks_harms_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    for ssh in ("-oProxyCommand=touch owned", "pi@-oProxyCommand=touch", "a -oProxyCommand=touch", "$(touch owned)"):
        host = Host.model_construct(name="mypi", device="pi4", ssh=ssh)
        with pytest.raises(UsageError):
            resolve(host)
    assert [path.name for path in config.parent.iterdir()] == ["config"]

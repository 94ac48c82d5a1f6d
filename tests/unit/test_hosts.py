from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from armopt.catalog.hosts import add_host, find_host, hosts_file, hosts_of, known_hosts_file, list_hosts, remove_host
from armopt.cli.main import run
from armopt.core.errors import StoreError, UsageError
from armopt.core.host import Host

BY_HAND = """# my boards
[hosts.rack]
ssh = "rack"   # in ~/.ssh/config
device = "pi5"
folder = "/data/armopt"

[hosts."old.pi"]
device = "pi4"
ssh = "pi@old.local"
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))
    empty = tmp_path / "ssh_config"
    empty.write_text("")
    monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(empty))
    return tmp_path / "config"


def write(text: str) -> None:
    hosts_file().parent.mkdir(parents=True, exist_ok=True)
    hosts_file().write_text(text)


def host(name: str, device: str = "pi4", ssh: str = "pi@board.local") -> Host:
    return Host(name=name, device=device, ssh=ssh)


def test_a_host_that_was_added_is_found_with_defaults(config: Path) -> None:
    assert list_hosts() == {}
    add_host(host("mypi"))
    assert find_host("mypi") == Host(
        name="mypi", device="pi4", ssh="pi@board.local", python="python3", folder=".armopt"
    )
    assert hosts_file() == config / "hosts.toml"
    assert known_hosts_file() == config / "known_hosts"


def test_the_file_is_for_the_user_only() -> None:
    add_host(host("mypi"))
    assert stat.S_IMODE(hosts_file().stat().st_mode) == 0o600


def test_what_a_user_wrote_stays_as_it_is() -> None:
    write(BY_HAND)
    add_host(host("mypi"))
    text = hosts_file().read_text()
    assert text.startswith(BY_HAND)
    assert list(list_hosts()) == ["rack", "old.pi", "mypi"]
    remove_host("mypi")
    assert hosts_file().read_text().strip() == BY_HAND.strip()


def test_replacing_keeps_comments_and_drops_what_is_a_default_again() -> None:
    write(BY_HAND)
    add_host(Host(name="rack", device="pi4", ssh="rack2"))
    assert find_host("rack") == host("rack", ssh="rack2")
    assert "# my boards" in hosts_file().read_text()
    assert "/data" not in hosts_file().read_text()


def test_hosts_of_a_kind_come_in_the_files_order() -> None:
    write(BY_HAND)
    add_host(host("a"))
    assert [one.name for one in hosts_of("pi4")] == ["old.pi", "a"]
    assert hosts_of("pi3") == ()


def test_a_linked_file_stays_linked(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(BY_HAND)
    hosts_file().parent.mkdir()
    hosts_file().symlink_to(real)
    add_host(host("mypi"))
    assert hosts_file().is_symlink()
    assert "mypi" in real.read_text()


def test_many_writers_lose_no_entry() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_host(host(f"pi{number}")), range(16)))
    assert set(list_hosts()) == {f"pi{number}" for number in range(16)}


def test_an_unknown_host_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="none is registered; run: armopt hosts add"):
        find_host("mypi")
    write(BY_HAND)
    with pytest.raises(UsageError, match="unknown host 'rak'; did you mean rack"):
        find_host("rak")
    with pytest.raises(UsageError, match="unknown host"):
        remove_host("rak")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[hosts.a]\ndevice = 'pi4'\n", "hosts.a.ssh is missing"),
        ("[hosts.a]\ndevice = 'pi4'\nssh = 'x'\npassword = 'y'\n", "unknown key hosts.a.password"),
        ("[hosts.a]\ndevice = 'pi4'\nssh = '-oProxyCommand=x'\n", "hosts.a.ssh: is no destination"),
        ("[hosts.'a b']\ndevice = 'pi4'\nssh = 'x'\n", "'a b' is no name for a board"),
        ("[host.a]\n", "unknown key host"),
        ("hosts = 3\n", "hosts"),
        ("[hosts", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_and_not_overwritten(text: str, message: str) -> None:
    write(text)
    with pytest.raises(UsageError, match=message):
        list_hosts()
    with pytest.raises(UsageError, match=message):
        add_host(host("mypi"))
    assert hosts_file().read_text() == text


def test_a_folder_that_can_not_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "file" / "config"))
    with pytest.raises(StoreError, match="can't be written"):
        add_host(host("mypi"))


@pytest.mark.parametrize(
    "ssh", ["pi@board", "board", "ssh://pi@board:22", "pi@10.0.0.1", "pi@fe80::1%eth0", "ssh://[::1]"]
)
def test_destinations_that_ssh_takes_are_taken(ssh: str) -> None:
    assert host("a", ssh=ssh).ssh == ssh


@pytest.mark.parametrize(
    "ssh",
    ["-oProxyCommand=x", "pi@-x", "-l@b", "a b", "a\nb", "a;b", "$(x)", "`x`", "a'b", "", "pi@", "a\x1bb", "a\u202eb",
     "a|b", "x" * 300, "ssh://-x", "a\\b"],
)  # fmt: skip
def test_destinations_that_could_do_harm_are_refused(ssh: str) -> None:
    with pytest.raises(ValidationError):
        host("a", ssh=ssh)


def test_a_password_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hosts", "add", "mypi", "--device", "pi4", "--ssh", "ssh://pi:raspberry@board"]) == 2
    told = capsys.readouterr().err
    assert "--ssh: holds a password; leave it out" in told
    assert "raspberry" not in told


@pytest.mark.parametrize("folder", ["", ".", "..", "a/../b", "~/armopt", "/", "a\nb", "./"])
def test_folders_that_are_none_of_their_own_are_refused(folder: str) -> None:
    with pytest.raises(ValidationError):
        Host(name="a", device="pi4", ssh="b", folder=folder)


def test_the_command_adds_lists_and_removes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hosts", "list"]) == 0
    assert "armopt hosts add" in capsys.readouterr().err
    assert run(["hosts", "add", "mypi", "--device", "pi4", "--ssh", "pi@board.local", "--python", "python3.11"]) == 0
    assert "next: armopt hosts trust mypi" in capsys.readouterr().err
    assert run(["hosts", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    expected: dict[str, str | None] = {
        "name": "mypi",
        "device": "pi4",
        "ssh": "pi@board.local",
        "python": "python3.11",
        "folder": ".armopt",
    }
    expected["identity"] = None
    assert document["hosts"] == [expected]
    assert run(["hosts", "list"]) == 0
    assert "pi@board.local" in capsys.readouterr().out
    assert run(["hosts", "remove", "mypi", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert run(["hosts", "remove", "mypi"]) == 2


def test_a_name_is_not_taken_twice_by_accident(capsys: pytest.CaptureFixture[str]) -> None:
    add = ["hosts", "add", "mypi", "--device", "pi4", "--ssh"]
    assert run([*add, "a"]) == 0
    assert run([*add, "b"]) == 2
    assert "give --replace" in capsys.readouterr().err
    assert find_host("mypi").ssh == "a"
    assert run([*add, "b", "--replace"]) == 0
    assert find_host("mypi").ssh == "b"


def test_a_key_file_is_kept_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("")
    monkeypatch.chdir(tmp_path)
    add = ["hosts", "add", "mypi", "--device", "pi4", "--ssh", "a", "--identity"]
    assert run([*add, "no key"]) == 2
    assert f"--identity: there is no file {tmp_path}/no key" in capsys.readouterr().err
    assert run([*add, "key"]) == 0
    assert find_host("mypi").identity == str(tmp_path / "key")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mypi", "--device", "pi44", "--ssh", "a"], "unknown device 'pi44'; did you mean pi4"),
        (["my pi", "--device", "pi4", "--ssh", "a"], "'my pi' is no name for a board"),
        (["mypi", "--device", "pi4", "--ssh", "a b"], "--ssh: has a character that no host has"),
        (["mypi", "--device", "pi4", "--ssh=-oProxyCommand=touch"], "is no destination"),
        (["mypi", "--device", "pi4", "--ssh", "a", "--folder", "../x"], "--folder: is no folder of its own"),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_is_written(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["hosts", "add", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.strip().splitlines()) == 1
    assert not hosts_file().exists()

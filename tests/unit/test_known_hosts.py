from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armopt.runners.ssh.known_hosts import fingerprint, host_name, matches, parse_line, recorded_keys, without

KIND = "ssh-ed25519"


def key(number: int) -> bytes:
    return b"\0\0\0\x0b" + KIND.encode() + b"\0\0\0\x20" + bytes([number]) * 32


def line(hosts: str, number: int, marker: str = "") -> str:
    return f"{marker} {hosts} {KIND} {base64.b64encode(key(number)).decode()} a comment".strip()


def found(path: Path, name: str) -> list[tuple[bytes, bool]]:
    return [(one.blob, one.revoked) for one in recorded_keys([path], name)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "known_hosts"
    other = f"board.local ssh-rsa {line('x', 1).split()[2]}"
    lines = [
        "# board.local ssh-ed25519 AAAA", "", "nonsense", f"board.local {KIND} !!!", other,
        line("board.local,10.0.0.1", 1), line("[board.local]:2222", 2), line("*.lab,!bad.lab", 3),
        line("board.local", 4, "@revoked"), line("*", 5, "@cert-authority"), line("hidden.local", 6),
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def test_names_ports_patterns_and_markers_are_understood(file: Path) -> None:
    assert found(file, "board.local") == [(key(1), False), (key(4), True)]
    assert found(file, "10.0.0.1") == [(key(1), False)]
    assert found(file, "[board.local]:2222") == [(key(2), False)]
    assert found(file, "a.lab") == [(key(3), False)]
    assert found(file, "bad.lab") == []
    assert found(file, "board") == []
    assert recorded_keys([file], "10.0.0.1")[0].source == f"{file}:6"
    assert recorded_keys([file.with_name("absent")], "board.local") == []


def test_names_that_ssh_hashed_are_found(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("hidden.local", 6) + "\n" + line("[board.local]:2222", 2) + "\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "hidden.local" not in file.read_text()
    assert found(file, "hidden.local") == [(key(6), False)]
    assert found(file, "[board.local]:2222") == [(key(2), False)]
    assert found(file, "hidden.locals") == []


def test_broken_hashes_match_nothing() -> None:
    for hashed in ("|", "|1|", "|1|a|b", "|2|AAAA|AAAA", "|1|AAAA|AAAA|x"):
        assert not matches(hashed, "board")


patterns = st.text("ab.*?![]:2,", min_size=1, max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hosts=st.lists(patterns, min_size=12, max_size=12), name=st.text("ab.:2[]", min_size=1, max_size=6))
def test_hosts_match_as_ssh_keygen_says(hosts: list[str], name: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("".join(line(one, number) + "\n" for number, one in enumerate(hosts)))
    asked = subprocess.run(["ssh-keygen", "-F", name, "-f", path], capture_output=True, text=True, check=False)
    expected = [parse_line(text) for text in asked.stdout.splitlines() if not text.startswith("#")]
    assert [one for one, _ in found(path, name)] == [one.blob for one in expected if one is not None]


def test_a_host_is_named_as_ssh_names_it() -> None:
    assert host_name("Board.Local", 22) == "board.local"
    assert host_name("::1", 2222) == "[::1]:2222"
    assert host_name("10.0.0.1", 2222, "Board") == "board"


def test_the_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text(" ".join(line("x", 7).split()[1:3]))
    shown = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True)
    assert shown.stdout.split()[1] == fingerprint(key(7))


def test_forgetting_a_host_leaves_the_others_of_its_lines(file: Path) -> None:
    before = file.read_text().splitlines()
    after = without(before, "board.local")
    file.write_text("\n".join(after))
    assert found(file, "board.local") == [(key(4), True)]  # a revocation is not forgotten
    assert found(file, "10.0.0.1") == [(key(1), False)]
    assert [text for text in before if "lab" in text or "hidden" in text] == [
        text for text in after if "lab" in text or "hidden" in text
    ]
    assert without([line("*.local", 1)], "board.local") == []

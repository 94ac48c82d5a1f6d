from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from relay import Relay
from sshd import Sshd

from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh.connection import Connection, Limits
from armopt.runners.ssh.errors import LostConnection


@pytest.fixture
def host(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Host:
    return server.host("board", monkeypatch)


@pytest.fixture
def connection(host: Host) -> Iterator[Connection]:
    with Connection(host, say=print) as opened:
        yield opened


Through = Callable[[Relay], Host]


@pytest.fixture
def through(server: Sshd, host: Host, monkeypatch: pytest.MonkeyPatch) -> Through:
    """The same host, reached through a relay."""

    def make(relay: Relay) -> Host:
        lines = [f"HostName 127.0.0.1\n  Port {relay.port}", f"HostKeyAlias [127.0.0.1]:{server.port}"]
        monkeypatch.setenv("ARMOPT_SSH_CONFIG", str(server.config("board", lines=lines)))
        return host

    return make


def closed(connection: Connection) -> bool:
    with pytest.raises(LostConnection, match="not connected"):
        connection.run(["true"])
    return True


def test_a_command_gives_its_exit_code_and_both_outputs(connection: Connection, server: Sshd) -> None:
    done = connection.run(["sh", "-c", "pwd; echo told >&2; exit 3"])
    assert (done.code, done.stdout.decode().strip(), done.stderr) == (3, str(server.home), "told\n")
    assert connection.run(["no-such-program"]).code == 127
    # In place of the shell that sshd started, so that sshd tells of a signal and of no exit code.
    assert connection.run(["exec", "sh", "-c", "echo a; kill -9 $$"]).code == -1
    assert connection.run(["true"]).code == 0


def test_arguments_arrive_as_they_are(connection: Connection, server: Sshd) -> None:
    nasty = ["", "-n", "a b", "'\"", "$(touch owned)", "`touch owned`", "a\n;b", "\\", "*", "~", "ü\udcff", "\x1b[2J"]
    done = connection.run(["printf", "%s\\0", *nasty])
    assert done.stdout == b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in nasty)
    assert list(server.home.iterdir()) == []


def test_much_goes_out_while_much_comes_in(connection: Connection) -> None:
    data = random.Random(1).randbytes(8 << 20)
    chunks = (data[start : start + 100_000] for start in range(0, len(data), 100_000))
    assert connection.run(["cat"], stdin=data, most_bytes=len(data)).stdout == data
    # This one writes more than all buffers hold before it reads anything.
    script = "head -c 6000000 /dev/zero; cat"
    assert connection.run(["sh", "-c", script], stdin=chunks, most_bytes=1 << 24).stdout == bytes(6_000_000) + data


def test_what_a_command_does_not_read_is_no_error(connection: Connection) -> None:
    done = connection.run(["sh", "-c", "exit 5"], stdin=itertools.repeat(bytes(1 << 16)))
    assert done.code == 5
    assert connection.run(["true"]).code == 0


def test_output_is_passed_on_as_it_comes(connection: Connection) -> None:
    came: list[tuple[float, bytes]] = []
    done = connection.run(
        ["sh", "-c", "echo a; sleep 0.6; echo b"], on_stdout=lambda chunk: came.append((time.monotonic(), chunk))
    )
    assert b"".join(chunk for _, chunk in came) == b"a\nb\n"
    assert came[-1][0] - came[0][0] > 0.4
    assert done.stdout == b""


def test_the_callers_own_errors_pass_and_close_the_connection(host: Host) -> None:
    def refuse(chunk: bytes) -> None:
        raise KeyError("mine")

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise FileNotFoundError("gone")

    for arguments, error in (({"on_stdout": refuse}, KeyError), ({"stdin": broken()}, FileNotFoundError)):
        with Connection(host, say=print) as connection:
            with pytest.raises(error):
                connection.run(["sh", "-c", "echo a; exec sleep 5"], **arguments)
            assert closed(connection)


def test_ctrl_c_ends_it_at_once(host: Host) -> None:
    with Connection(host, say=print) as connection:
        timer = threading.Timer(0.4, os.kill, [os.getpid(), signal.SIGINT])
        started = time.monotonic()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            connection.run(["sleep", "30"])
        assert time.monotonic() - started < 5
        assert closed(connection)


@pytest.mark.parametrize("script", ["yes", "yes >&2", "yes | tr -d '\\n'"])
def test_endless_output_is_an_error_in_a_moment(host: Host, script: str) -> None:
    started = time.monotonic()
    with Connection(host, say=print) as connection:
        with pytest.raises(DeviceError, match=r"says more than [0-9,]+ bytes") as caught:
            connection.run(["sh", "-c", script], most_bytes=100_000)
        assert not isinstance(caught.value, LostConnection)
        assert closed(connection)
    assert time.monotonic() - started < 5


def test_little_of_stderr_is_kept(connection: Connection) -> None:
    done = connection.run(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x >&2"])
    assert (done.code, done.stderr) == (0, "x" * 65536)


def test_a_silent_command_is_given_up_and_a_slow_one_is_not(host: Host) -> None:
    with Connection(host, say=print) as connection:
        script = "for i in 1 2 3 4; do sleep 0.35; echo $i; done"
        assert connection.run(["sh", "-c", script], silence_s=1.0).code == 0
        started = time.monotonic()
        with pytest.raises(LostConnection, match="was silent for 1 s"):
            connection.run(["sleep", "30"], silence_s=1.0)
        assert time.monotonic() - started < 5
        assert closed(connection)


def test_a_command_that_goes_on_and_on_is_given_up_where_that_is_asked(host: Host) -> None:
    with Connection(host, say=print) as connection:
        script = "while sleep 0.1; do echo .; done"
        with pytest.raises(LostConnection, match=r"was not done within 0\.7 s"):
            connection.run(["sh", "-c", script], silence_s=5.0, within_s=0.7)
        assert closed(connection)


def test_a_command_that_reads_nothing_for_long_is_given_up(host: Host) -> None:
    with Connection(host, say=print) as connection:
        with pytest.raises(LostConnection, match="was silent"):
            connection.run(["sleep", "30"], stdin=itertools.repeat(bytes(1 << 16)), silence_s=0.6)
        assert closed(connection)


@pytest.mark.parametrize("stop", [Sshd.cut, Sshd.restart])
def test_a_server_that_dies_is_a_lost_connection(
    tmp_path: Path, stop: Callable[[Sshd], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sshd(tmp_path / "server") as server:
        connection = Connection(server.host("board", monkeypatch), say=print)
        connection.open()
        timer = threading.Timer(0.5, stop, [server])
        timer.start()
        with pytest.raises(LostConnection, match="host board: the connection broke; see whether"):
            connection.run(["sh", "-c", "while sleep 0.05; do echo a; done"])
        timer.join()
        assert closed(connection)
        connection.close()
        connection.open()
        assert connection.run(["echo", "again"]).stdout == b"again\n"
        connection.close()


def test_cut_anywhere_it_is_a_lost_connection_or_all_is_there(server: Sshd, through: Through) -> None:
    data = random.Random(2).randbytes(60_000)
    whole = 0
    login = range(2600, 2900, 25)  # a cut there must not look like a refusal
    for offset in (0, 20, 60, 1000, 1700, *login, 3300, 5000, 40_000, 100_000, 123_000, 124_000, 10**6):
        with Relay(server.port, cut_after=offset) as relay:
            connection = Connection(through(relay), say=print)
            try:
                with connection:
                    done = connection.run(["cat"], stdin=data)
            except LostConnection:
                continue
            assert done.stdout == data
            whole += 1
    assert 1 <= whole <= 3


def test_stalled_anywhere_it_is_a_lost_connection_within_its_time(server: Sshd, through: Through) -> None:
    data = random.Random(3).randbytes(1 << 20)
    for offset in (0, 10, 1000, 2600, 3400, 50_000):
        with Relay(server.port, cut_after=offset, stall=True) as relay:
            connection = Connection(through(relay), say=print, limits=Limits(connect_s=0.6, answer_s=0.6))
            started = time.monotonic()
            with pytest.raises(LostConnection), connection:
                connection.run(["cat"], stdin=data, silence_s=0.6)
            assert time.monotonic() - started < 5


def test_data_is_compressed_on_the_way(server: Sshd, through: Through) -> None:
    with Relay(server.port) as relay, Connection(through(relay), say=print) as connection:
        assert connection.run(["wc", "-c"], stdin=bytes(4 << 20)).stdout.strip() == b"4194304"
        assert relay.carried < 200_000

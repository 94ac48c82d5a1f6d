"""The virtual board: that it is one, that it can fail as tests need it to, and that it comes and goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from virtual_board import Board

from armopt.catalog.devices import find_device
from armopt.core.errors import DeviceError
from armopt.runners.ssh.connection import Connection
from armopt.runners.virtual.board import VirtualBoard
from armopt.runners.virtual.image import ensure_image
from armopt.runners.virtual.qemu_options import Settings

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-system-aarch64") is None, reason="qemu-system-arm is not installed"),
]

WRITE_4_MIB = "open('x', 'wb').write(bytes(4 << 20))"


def test_it_is_an_aarch64_linux_of_its_kind(virtual_board: Board) -> None:
    with Connection(virtual_board.host, say=print) as connection:
        told = connection.run(["uname", "-sm"]).stdout.decode()
        info = connection.run(["cat", "/proc/cpuinfo"]).stdout.decode()
        cores = connection.run(["nproc"]).stdout.decode()
    assert told == "Linux aarch64\n"
    kind = find_device("virtual")
    assert kind.functional and int(cores) == kind.cpu.cores
    features = next(line for line in info.splitlines() if line.startswith("Features"))
    assert features.partition(":")[2].split() == list(kind.cpu.features)
    assert "CPU part\t: 0xd08" in info


def test_python_runs_and_finds_its_modules_compiled(virtual_board: Board) -> None:
    code = "import ssl, json, os, sys; print(sys.version_info[:2], os.path.exists(json.__cached__))"
    with Connection(virtual_board.host, say=print) as connection:
        done = connection.run([virtual_board.host.python, "-c", code])
    assert (done.code, done.stdout, done.stderr) == (0, b"(3, 11) True\n", "")


def test_its_user_is_no_root_and_owns_an_empty_home(virtual_board: Board) -> None:
    with Connection(virtual_board.host, say=print) as connection:
        told = connection.run(
            ["sh", "-c", "id -un; pwd; ls -A; touch own && rm own; touch /etc/x 2>/dev/null || echo no"]
        )
    assert told.stdout.decode().split() == ["armopt", "/home/armopt", "no"]


def _reaches_this_machine(board: Board) -> bool:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('10.0.2.2', {port}), 3)"
        return board.run_as_root(["python3", "-c", code], check=False).returncode == 0


def test_nothing_but_ssh_leads_in_or_out(virtual_board: Board) -> None:
    assert not _reaches_this_machine(virtual_board)  # what --online changes is in the test of the commands


def test_a_full_home_is_an_error_of_the_board(virtual_board: Board) -> None:
    assert virtual_board.free_home_bytes() > 180 << 20
    virtual_board.fill_home(leave_bytes=1 << 20)
    try:
        assert virtual_board.free_home_bytes() == 1 << 20
        with Connection(virtual_board.host, say=print) as connection:
            done = connection.run(["python3", "-c", WRITE_4_MIB])
        assert done.code == 1 and "No space left on device" in done.stderr
    finally:
        virtual_board.empty_home()
    with Connection(virtual_board.host, say=print) as connection:
        assert connection.run(["python3", "-c", WRITE_4_MIB + "; import os; os.remove('x')"]).code == 0


def test_its_clock_is_right_and_can_be_set_wrong(virtual_board: Board) -> None:
    assert abs(virtual_board.clock() - time.time()) < 5
    virtual_board.set_clock(ahead_s=86_400)
    try:
        assert abs(virtual_board.clock() - time.time() - 86_400) < 5
    finally:
        virtual_board.set_clock(ahead_s=0)


def test_a_reboot_empties_it_and_sets_its_clock_right_and_keeps_its_host_key(virtual_board: Board) -> None:
    virtual_board.run_as_root(["touch", "/home/armopt/left"])
    virtual_board.set_clock(ahead_s=-86_400)
    before = virtual_board.boot_id()
    virtual_board.reboot()
    assert virtual_board.boot_id() != before
    assert abs(virtual_board.clock() - time.time()) < 5
    with Connection(virtual_board.host, say=print) as connection:  # refuses a changed host key
        assert connection.run(["ls", "-A"]).stdout == b""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a config folder for the commands; the cache shares the user's images."""
    images = ensure_image(say=print, offline=False).folder.parent
    cache = tmp_path / "the cache, of its own"
    (cache / "board").mkdir(parents=True)
    (cache / "board" / "images").symlink_to(images)
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(cache))
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))
    return cache


def _command(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "armopt", "emulator", "board", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(*arguments: str) -> tuple[int, str, str]:
    process = _command(*arguments)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def test_the_commands_start_show_and_stop_one_board(own_cache: Path, tmp_path: Path) -> None:
    try:
        both = [_command("start", "--online", "--home-size", "64M", "--json") for _ in range(2)]
        told = [process.communicate(timeout=200) for process in both]
        assert [process.returncode for process in both] == [0, 0], told
        first, second = (json.loads(out) for out, _ in told)
        assert first["pid"] == second["pid"] and first["online"] is True
        assert sorted("runs already" in err for _, err in told) == [False, True]

        code, out, _ = _run("status", "--json")
        shown = json.loads(out)
        assert (code, shown["running"], shown["pid"], shown["home_mib"]) == (0, True, first["pid"], 64)
        assert 0 < shown["uptime_s"] < 120 and 100 < shown["resident_mib"] < 1200
        port = shown["port"]
        board = Board(VirtualBoard().host(port), port, tmp_path / "config", Path(shown["console"]))
        assert _reaches_this_machine(board)
    finally:
        code, _, err = _run("stop")
    assert code == 0 and "stays registered" in err
    assert "[hosts.virtual]" in (tmp_path / "config" / "hosts.toml").read_text()
    code, out, err = _run("status", "--json")
    assert (code, json.loads(out)["running"], err) == (4, False, "")
    code, out, err = _run("stop", "--json")
    assert (code, json.loads(out)["stopped"]) == (0, False)


@pytest.mark.slow
def test_a_board_that_was_killed_starts_again_on_its_port_and_with_its_host_key(own_cache: Path) -> None:
    try:
        first = json.loads(_run("start", "--json")[1])
        host_key = (own_cache / "board" / "host_key.pub").read_text()
        os.kill(first["pid"], signal.SIGKILL)
        while VirtualBoard().running():
            time.sleep(0.1)
        assert _run("status")[0] == 4
        code, out, err = _run("start", "--offline", "--json")
        assert code == 0, err
        again = json.loads(out)
        assert again["port"] == first["port"] and again["pid"] != first["pid"]
        assert (own_cache / "board" / "host_key.pub").read_text() == host_key
    finally:
        _run("stop")


def test_a_port_that_is_taken_is_told(own_cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, out, err = _run("start", "--port", str(port))
    assert (code, out) == (4, "")
    assert f"port {port} of this machine is taken" in err.splitlines()[-1]


def test_a_board_that_does_not_boot_is_one_line_with_the_kernels_word_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ensure_image(say=print, offline=False)
    broken = tmp_path / "board" / "images" / whole.folder.name
    broken.mkdir(parents=True)
    (broken / "kernel").symlink_to(whole.kernel)
    (broken / "initramfs.cpio").write_bytes(whole.initramfs.read_bytes()[: 1 << 20])
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path / "config"))
    board = VirtualBoard()
    with pytest.raises(DeviceError) as caught:
        board.start(Settings(), say=print)
    line = str(caught.value)
    assert "the virtual board did not boot: " in line and "Kernel panic" in line and "\n" not in line
    assert line.endswith(f"see {board.console}")
    assert board.running() is None

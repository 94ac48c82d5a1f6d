from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from board_facts import PI4, pi4
from hypothesis import given, settings
from hypothesis import strategies as st

from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh import facts as host_side
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.board_scripts import board_script
from armopt.runners.ssh.facts import look, parse_facts
from armopt.runners.ssh.here import HereConnection

BOARD = Path(host_side.__file__).with_name("board")
MODULES = ("system_files", "disturbances")


@pytest.fixture
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is sent to a board, as a file."""
    path = tmp_path_factory.mktemp("sent") / "facts.py"
    path.write_bytes(board_script("facts"))
    return path


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The board's script as a module of this process."""
    monkeypatch.syspath_prepend(str(BOARD))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("board_side_facts", BOARD / "facts.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pi(board: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, which reads the files of a Raspberry Pi."""
    cpu, thermal = "sys/devices/system/cpu", "sys/class/thermal"
    paragraph = "BogoMIPS\t: 108.00\nFeatures\t: fp asimd crc32\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
    paragraph += "CPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
    files = {
        "proc/cpuinfo": "".join(f"processor\t: {core}\n{paragraph}" for core in range(4)) + "Model\t\t: Raspberry Pi\n",
        f"{cpu}/online": "0-2,3\n",
        f"{cpu}/cpufreq/policy0/affected_cpus": "0 1 2 3\n",
        f"{cpu}/cpufreq/policy0/scaling_governor": "ondemand\n",
        f"{cpu}/cpufreq/policy0/scaling_max_freq": "1500000\n",
        f"{cpu}/cpufreq/policy0/cpuinfo_max_freq": "1800000\n",
        f"{thermal}/thermal_zone0/temp": "48199\n",
        f"{thermal}/thermal_zone0/type": "cpu-thermal\n",
        f"{thermal}/thermal_zone1/temp": "no number\n",
        f"{thermal}/cooling_device0/type": "cpufreq-cpu0\n",
        f"{thermal}/cooling_device0/cur_state": "2\n",
        f"{thermal}/cooling_device0/max_state": "4\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        "proc/meminfo": "MemTotal:        3884344 kB\nMemAvailable:    3400000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys.modules["system_files"], "ROOT", str(tmp_path))
    return board


def test_a_real_system_tells_facts_that_are_believed(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(script), "no/such/folder", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20)
    facts = parse_facts(b"a login script's line\n" + done.stdout)
    assert facts.machine == os.uname().machine
    assert facts.python_version == sys.version_info[:2]
    assert facts.folder is not None and not facts.folder.exists and facts.folder.writable
    assert facts.memory is not None and facts.memory.total_bytes
    assert facts.load is not None and facts.runtime is None
    assert done.stdout.count(b"\n") == 1


def test_the_script_has_no_newer_syntax_than_python_3_6() -> None:
    for name in ("facts", *MODULES):
        ast.parse((BOARD / f"{name}.py").read_text(encoding="utf-8"), feature_version=(3, 6))


def test_a_raspberry_pi_is_read_as_its_files_say(pi: Any) -> None:
    [group] = pi.cores()
    assert (group["implementer"], group["part"], group["revision"]) == (0x41, 0xD08, 3)
    assert (group["features"], group["processors"]) == (("fp", "asimd", "crc32"), [0, 1, 2, 3])
    assert pi.cpu_list(pi.CPU + "online") == [0, 1, 2, 3]
    [policy] = pi.policies()
    assert (policy["governor"], policy["max_mhz"], policy["hardware_max_mhz"]) == ("ondemand", 1500.0, 1800.0)
    assert policy["current_mhz"] is None
    assert pi.temperatures() == [{"name": "cpu-thermal", "celsius": 48.199}]
    assert pi.cooling() == [{"name": "cpufreq-cpu0", "state": 2.0, "most": 4.0}]
    assert pi.memory()["available_bytes"] == 3_400_000 * 1024
    parse_facts(json.dumps(pi.facts("", "")).encode())


def test_throttling_flags_come_from_vcgencmd_the_kernel_or_the_voltage_sensor(
    pi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pi.throttled() == 0x50005
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x80000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert pi.throttled() == 0x80000
    program.unlink()
    (tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    assert pi.throttled() is None
    sensor = tmp_path / "sys/class/hwmon/hwmon1"
    sensor.mkdir(parents=True)
    (sensor / "name").write_text("rpi_volt\n")
    (sensor / "in0_lcrit_alarm").write_text("1\n")
    assert pi.throttled() == 1


def test_a_busy_process_is_named_and_this_one_is_not(board: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            told = board.load()
        finally:
            busy.kill()
    shares = {process["pid"]: process["share"] for process in told["processes"]}
    assert shares.get(busy.pid, 0) > 0.1
    assert os.getpid() not in shares and os.getppid() not in shares
    assert told["busy_cores"] > 0.1


def test_a_file_system_that_runs_no_programs_or_takes_no_files_is_seen(script: Path, tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o noexec,ro,size=1m,nr_inodes=9 none "$1" && exec "$2" -I "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    done = subprocess.run([*command, str(tmp_path), sys.executable, str(script)], capture_output=True, check=False)
    if not done.stdout:
        pytest.skip("nothing can be mounted here")
    folder = parse_facts(done.stdout).folder
    assert folder is not None and folder.exists and folder.noexec and not folder.writable
    assert folder.free_bytes == 1 << 20 and folder.free_inodes == 8


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        ({}, {"error": "exit code 1: ModuleNotFoundError: No module named 'numpy'"}),
        ({"numpy": "__version__ = '2'"}, {"error": "exit code 1: neither ai_edge_litert nor tflite_runtime is there"}),
        (
            {"numpy": "__version__ = '2'", "tflite_runtime": "__version__ = '2.14'"},
            {"name": "tflite-runtime", "version": "2.14", "numpy": "2", "error": None},
        ),
        ({"numpy": "import os; os.kill(os.getpid(), 4)"}, {"error": "exit code -4: "}),  # an illegal instruction
        ({"numpy": "import time; time.sleep(60)"}, {"error": "no answer in 1 s"}),
    ],
)
def test_the_runtime_is_what_can_be_imported_from_its_folder_alone(
    packages: dict[str, str], told: dict[str, Any], board: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in packages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
        (tmp_path / name / "interpreter.py").write_text("")
    if "sleep" in packages.get("numpy", ""):
        monkeypatch.setattr(board, "RUNTIME_S", 1.0)
    assert board.runtime(tmp_path) == {"name": None, "version": None, "numpy": None, **told}


def as_json(**changed: Any) -> bytes:
    return json.dumps({"event": "facts", **PI4, **changed}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"bash: python3: command not found",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe" * 100,
        b"[" * 100_000,
        b"x" * (1 << 20),
        as_json(event="gone"),
        as_json(extra=1),
        as_json(machine="a" * 65),
        as_json(machine=64),
        as_json(python_bits="64"),
        as_json(throttled=-1),
        as_json(wall_s=float("nan")),
        as_json(wall_s=1e300),
        as_json(throttled=10**5000 if sys.get_int_max_str_digits() == 0 else 1 << 64),
        as_json(python="snake"),
        as_json(libc_version="2.36; rm -rf /"),
        as_json(cores=[PI4["cores"][0]] * 1025),
        as_json(online=[-1]),
        as_json(policies=[{**PI4["policies"][0], "name": "policy0/../../x; reboot"}]),
        as_json(temperatures=[{"name": "\x1b[2J" * 100, "celsius": 1.0}]),
    ],
)
def test_a_lying_board_is_one_short_line(answer: bytes) -> None:
    with pytest.raises(DeviceError, match="the board's answer") as caught:
        parse_facts(answer)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(PI4)), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=10,
))  # fmt: skip
def test_whatever_a_board_says_is_facts_or_a_device_error(key: str, value: Any) -> None:
    try:
        facts = parse_facts(as_json(**{key: value}))
    except DeviceError:
        return
    assert len(facts.model_dump_json()) < 20_000
    assert facts.python_version >= (0, 0)


def test_facts_survive_the_way_through_json() -> None:
    assert parse_facts(pi4().model_dump_json().encode()) == pi4()


def test_a_machine_is_looked_at_through_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(name="here", device="pi4", ssh="here", python=sys.executable)
    board = BoardFolder(host, HereConnection, print)
    if os.uname().machine not in ("aarch64", "arm64"):
        with pytest.raises(DeviceError, match=r"^here: the board is no 64-bit Arm machine but "):
            look(board)
    monkeypatch.setattr("armopt.runners.ssh.probe.check_system", lambda machine, bits: None)
    assert look(board).machine == os.uname().machine

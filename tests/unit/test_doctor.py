from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from board_facts import PI4, pi4
from hypothesis import given
from hypothesis import strategies as st

from armopt.catalog.devices import find_device
from armopt.cli.main import run
from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh.doctor import examine
from armopt.runners.ssh.facts import Facts
from armopt.runners.ssh.finding import Finding
from armopt.runners.ssh.here import HereConnection
from armopt.runners.ssh.wheels import choose_runtime

HOST = Host(name="mypi", device="pi4", ssh="pi@mypi")


def findings(facts: Facts, kind: str = "pi4", clock_s: float = PI4["wall_s"]) -> tuple[Finding, ...]:
    try:
        plan: Any = choose_runtime(facts, None, "mypi")
    except DeviceError as error:
        plan = error
    return examine(facts, find_device(kind), HOST, clock_s=clock_s, plan=plan)


def test_a_board_in_order_has_no_findings() -> None:
    assert findings(pi4()) == ()


def test_a_board_that_shows_little_has_no_findings_of_it() -> None:
    hidden = dict.fromkeys(("load", "memory", "folder", "home", "throttled", "online", "board", "system"))
    empty: dict[str, Any] = dict.fromkeys(("policies", "temperatures", "cooling", "cores"), ())
    assert findings(pi4(**hidden, **empty)) == ()


DISK = 1 << 20
CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"runtime": None}, "problem", "litert 2.1.6 is not on the board", "run: armopt hosts prepare mypi"),
    ({"runtime__error": "exit code -4: "}, "problem", "can't be imported: exit code -4", "remove .armopt/runtimes"),
    ({"runtime__version": "2.1.5"}, "problem", "has litert 2.1.5 and numpy 2.2.6 in place of", "armopt hosts prepare"),
    ({"runtime__numpy": "1.26.4"}, "problem", "numpy 1.26.4 in place of litert 2.1.6 and numpy 2.2.6", "remove"),
    ({"python": "3.8.10"}, "problem", "no runtime for the board's Python 3.8.10", "install Python"),
    ({"system_bits": 32}, "problem", "32-bit on a 64-bit kernel", "64-bit image"),
    ({"cores__part": 0xD0B}, "problem", "its CPU is 0x41/0xd0b (Raspberry Pi 4 Model B Rev 1.4), and", "--device"),
    ({"cores__features": ("fp", "asimd", "asimddp")}, "problem", "its CPU has asimddp, unlike a pi4", "--device"),
    ({"cores__processors": (0, 1, 3)}, "warning", "3 of a pi4's 4 cores are online", "maxcpus"),
    ({"wall_s": PI4["wall_s"] + 61}, "warning", "its clock is 61 s ahead of", "timedatectl"),
    ({"wall_s": PI4["wall_s"] - 1e6}, "warning", "its clock is 12 days behind", "timedatectl"),
    ({"memory__available_bytes": 200 * DISK}, "warning", "200 MiB of memory are free", "stop what"),
    ({"memory__swap_free_bytes": 10 * DISK}, "warning", "90 of 100 MiB of swap are in use", "restart"),
    ({"load__swap_pages_per_s": 150.0}, "warning", "of swap are in use, 150 pages/s go to or from it", "stop what"),
    ({"folder__free_bytes": 60 * DISK}, "problem", "60 MiB of disk are free for .armopt, 64 are needed", "make room"),
    ({"folder__free_inodes": 100}, "problem", "100 inodes are free", "remove files"),
    ({"folder__noexec": True}, "problem", "runs no programs (noexec)", "another --folder"),
    ({"folder__writable": False}, "problem", "can't write where .armopt is", "permit it"),
    ({"policies__governor": "ondemand"}, "warning", "the governor is ondemand", "echo performance | sudo tee /sys/"),
    ({"policies__max_mhz": 1200.0}, "warning", "limited to 1200 of 1800 MHz", "echo 1800000 | sudo tee /sys/devices"),
    ({"policies__hardware_max_mhz": 1500.0, "policies__max_mhz": 1500.0}, "warning", "highest clock is 1500 MHz, that",
     "--freq 1500"),
    ({"temperatures__celsius": 75.0}, "warning", "it is 75 °C warm (cpu-thermal)", "cool it"),
    ({"temperatures__celsius": 80.5}, "problem", "it is 80 °C warm", "cool it"),
    ({"cooling__state": 2.0}, "problem", "its clock is lowered for heat (cpufreq-cpu0: step 2 of 4)", "cool it"),
    ({"throttled": 1 << 0}, "problem", "its voltage is too low", "supply"),
    ({"throttled": 1 << 1}, "problem", "its clock is capped", "cool it"),
    ({"throttled": 1 << 2}, "problem", "it is throttled", "cool it"),
    ({"throttled": 1 << 3}, "problem", "at its soft limit of temperature", "cool it"),
    ({"throttled": 1 << 16}, "warning", "its voltage was too low since it was started", "a restart clears the flag"),
    ({"throttled": 1 << 19}, "warning", "soft limit of temperature since it was started", "a restart clears"),
    ({"load__processes__share": 0.5}, "warning", "'avahi-daemon' (process 400) takes 50% of a core", "ps -fp 400"),
    ({"load__busy_cores": 1.52}, "warning", "others take 150% of a core", "top"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "severity", "what", "mend"), CASES)
def test_each_thing_that_is_wrong_is_found_alone_with_its_mend(
    changed: dict[str, Any], severity: str, what: str, mend: str
) -> None:
    [finding] = findings(pi4(**changed))
    assert finding.severity == severity
    assert what in finding.what
    assert mend in finding.mend
    assert "\n" not in finding.what + finding.mend


def test_a_board_registered_as_another_kind_is_told_what_it_is() -> None:
    [finding, *_] = findings(pi4(), kind="pi5")
    assert "its CPU is 0x41/0xd08 (Raspberry Pi 4 Model B Rev 1.4), and a pi5 has Arm Cortex-A76" in finding.what


def test_of_two_kinds_of_cores_those_of_the_boards_kind_count() -> None:
    small = {**PI4["cores"][0], "part": 0xD03, "processors": (4, 5)}
    slow = {**PI4["policies"][0], "name": "policy4", "cpus": (4, 5), "max_mhz": 1400.0, "hardware_max_mhz": 1400.0}
    assert findings(pi4(cores=(*PI4["cores"], small), policies=(*PI4["policies"], slow))) == ()


def test_a_new_board_needs_room_for_the_runtime_too() -> None:
    [missing, full] = findings(pi4(runtime=None, folder__free_bytes=150 * DISK))
    assert "not on the board" in missing.what
    assert "150 MiB of disk are free for .armopt, 185 are needed" in full.what


def test_problems_come_before_warnings() -> None:
    found = findings(pi4(policies__governor="ondemand", throttled=0x50005, runtime=None))
    assert [finding.severity for finding in found] == ["problem"] * 3 + ["warning"]


@given(st.integers(0, (1 << 20) - 1))
def test_flags_are_told_once_each_now_or_since_the_start(flags: int) -> None:
    severities = [finding.severity for finding in findings(pi4(throttled=flags))]
    now, before = flags & 15, flags >> 16 & 15
    assert severities.count("problem") == now.bit_count()
    assert severities.count("warning") == (before & ~now).bit_count()


def test_commands_to_copy_hold_nothing_that_the_board_could_choose() -> None:
    for finding in findings(pi4(policies__governor="$(reboot)", policies__max_mhz=1.0, load__processes__name="`reboot`",
                                load__processes__share=1.0, board="; reboot", cores__part=1)):  # fmt: skip
        assert "reboot" not in finding.mend
        shlex.split(finding.mend)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def register(config: Path, ssh: str, device: str = "pi4") -> None:
    (config / "hosts.toml").write_text(f'[hosts.mypi]\ndevice = "{device}"\nssh = "{ssh}"\n')
    (config / "hosts.toml").chmod(0o600)


def test_a_board_that_can_not_be_reached_is_a_finding_and_exit_4(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(config, "ssh://nobody@127.0.0.1:1")
    assert run(["doctor", "--host", "mypi", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert (document["host"], document["device"], document["facts"]) == ("mypi", "pi4", None)
    [finding] = document["findings"]
    assert finding["severity"] == "problem" and "127.0.0.1" in finding["what"] and finding["mend"]


def test_a_board_that_was_reached_and_is_unfit_is_exit_1(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(config, "pi@mypi")
    monkeypatch.setattr("armopt.runners.ssh.connection.Connection", lambda host, say: HereConnection())
    monkeypatch.setattr("armopt.runners.ssh.probe.check_system", lambda machine, bits: None)
    assert run(["doctor", "--host", "mypi"]) == 1
    told = capsys.readouterr().out
    assert "mypi: " in told and "no runtime, " in told and "how to mend it" in told


def test_an_unknown_board_is_a_usage_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(config, "pi@mypi")
    assert run(["doctor", "--host", "mypy"]) == 2
    assert "did you mean mypi?" in capsys.readouterr().err


def test_files_of_the_user_that_can_not_be_read_are_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(config, "pi@mypi", device="pi77")
    for name, text in {
        "armopt.toml": "until = 'never'",
        "devices/mine.toml": "name = ",
        "profiles/mine.toml": "tree = 1",
        "calibrations/pi4.toml": "device = 'pi4'",
        "calibrations/pi78.toml": "",
    }.items():
        (config / name).parent.mkdir(exist_ok=True)
        (config / name).write_text(text)
    assert run(["doctor", "--json"]) == 1
    told = "\n".join(finding["what"] for finding in json.loads(capsys.readouterr().out)["findings"])
    for expected in ("armopt.toml: until", "mine.toml: not valid TOML", "profiles/mine.toml: key name",
                     "calibrations/pi4.toml: key core is missing", "pi78.toml is for no board kind",
                     "host mypi: unknown device 'pi77'"):  # fmt: skip
        assert expected in told


def test_programs_and_packages_that_are_missing_are_found(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(config))
    monkeypatch.setattr("armopt.cli.this_machine._EXACT", ("tf-keras", "packaging"))
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["tf-keras~=1.0", "packaging>=1", "click>=99"])
    assert run(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    told = {finding["what"]: finding["mend"] for finding in document["findings"]}
    assert [what for what in told if what.startswith(("tf-keras is", "packaging", "click"))] == [
        f"tf-keras is {document['facts']['packages']['tf-keras']}, and armopt is made for ~=1.0"
    ]
    assert told["emulated boards need qemu-aarch64, mmdebstrap, cc"].startswith("run: apt-get install qemu-user")
    assert any("ssh" in what for what in told)


def test_this_machine_in_order_is_exit_0_or_lacks_programs_only(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert code == (1 if found else 0)
    assert [finding for finding in found if finding["severity"] == "problem"] == []

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from armopt.core.errors import DeviceError
from armopt.runners.qemu import plugin, sysroot, tools


def test_offline_without_a_cache_is_a_device_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMOPT_CACHE_DIR", str(tmp_path))
    with pytest.raises(DeviceError, match="run once without --offline") as caught:
        sysroot.ensure_sysroot(say=print, offline=True)
    assert caught.value.exit_code == 4


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(DeviceError, match="apt-get install qemu-user mmdebstrap"):
        tools.require("qemu-aarch64", "mmdebstrap")


def test_a_failing_program_is_one_line_with_its_last_complaint() -> None:
    with pytest.raises(DeviceError, match="counting failed: sh: second; "):
        tools.run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"], "counting")


@pytest.mark.parametrize(("version", "api"), [((7, 2), 1), ((8, 2), 1), ((9, 0), 3), ((10, 0), 3)])
def test_the_plugin_declares_the_interface_that_its_qemu_speaks(version: tuple[int, int], api: int) -> None:
    assert plugin.plugin_api(version) == api


@pytest.mark.parametrize("api", [1, 3])
def test_the_plugin_compiles_for_old_and_new_interfaces(api: int, tmp_path: Path) -> None:
    # Only interface 1 (QEMU before 9.0) is run by the tests; 3 is declared in the source and compiled.
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    options = ["-O2", "-fPIC", "-shared", "-Wall", "-Werror", f"-DARMOPT_PLUGIN_API={api}"]
    subprocess.run(["cc", *options, "-o", str(tmp_path / "p.so"), str(plugin.SOURCE)], check=True)

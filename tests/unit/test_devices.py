from __future__ import annotations

from pathlib import Path

import pytest

from armopt.catalog import search_path
from armopt.catalog.devices import find_core, find_device, find_kind, list_devices
from armopt.catalog.toml_record import read_toml_record
from armopt.core.device import BoardFile, BoardKind
from armopt.core.errors import UsageError

PI4 = search_path.list_data("devices")["pi4"].read_text(encoding="utf-8")


@pytest.fixture
def user_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "devices"
    folder.mkdir()
    return folder


BOARDS = ["pi3", "pi4", "pi5", "zero2w", "imx8m", "imx8mp", "jetson-nano", "jetson-orin", "rock5b", "pixel4"]
BOARDS += ["graviton1", "graviton2", "graviton3"]


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_kind_is_valid_and_names_itself(name: str) -> None:
    board = find_device(name)
    assert board.name == name
    assert board.core.name == board.cpu.core


def test_every_figure_of_every_board_has_a_source() -> None:
    for board in (kind for kind in map(find_kind, list_devices()) if isinstance(kind, BoardKind)):
        sources = [board.cpu.source, board.caches.source, board.memory.source, board.core.cycles_source]
        sources += [board.core.emulator.source]
        for calibration in board.calibrations:
            sources += [calibration.source, calibration.interval_source]
        assert all(len(source) > 10 for source in sources)


def test_every_shipped_core_can_be_read_and_names_itself() -> None:
    for name in search_path.list_data("devices/cores"):
        core = find_core(name)
        assert core.name == name
        assert all(len(source) > 10 for source in (core.identity_source, core.cycles_source, core.emulator.source))


def test_the_emulator_offers_no_kernels_that_a_board_would_not_run() -> None:
    for name in BOARDS:
        board = find_device(name)
        assert not {"sme", "sve2"} & set(board.cpu.features)
        assert ("i8mm" in board.cpu.features) == (board.core.emulator.cpu == "max,sme=off")


def test_only_cores_with_dot_product_announce_it() -> None:
    assert "asimddp" in find_device("pi5").cpu.features
    assert "asimddp" not in find_device("pi4").cpu.features


def test_cpuinfo_shows_the_core_that_kernels_are_chosen_by() -> None:
    text = find_device("pi4").cpuinfo()
    assert text.count("processor\t:") == 4
    assert "CPU part\t: 0xd08" in text
    assert "CPU implementer\t: 0x41" in text


def test_an_unknown_device_is_one_line_with_the_closest_and_all_names() -> None:
    with pytest.raises(UsageError) as caught:
        find_device("pi44")
    line = str(caught.value)
    assert "did you mean pi4?" in line and "jetson-nano" in line and "\n" not in line


def test_the_users_folder_wins_over_the_shipped_file(user_devices: Path) -> None:
    (user_devices / "pi4.toml").write_text(PI4.replace("freq_mhz = 1800", "freq_mhz = 1500"), encoding="utf-8")
    assert find_device("pi4").cpu.freq_mhz == 1500


def test_a_new_board_kind_in_the_users_folder_is_listed(user_devices: Path) -> None:
    (user_devices / "mine.toml").write_text(PI4.replace('name = "pi4"', 'name = "mine"'), encoding="utf-8")
    assert "mine" in list_devices()
    assert find_device("mine").core.name == "cortex-a72"


def test_a_board_file_can_be_given_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(PI4, encoding="utf-8")
    assert find_device(str(path)).name == "pi4"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cores = 4", "cores = 4\nfrequency = 3", "unknown key cpu.frequency"),
        ("cores = 4", "", "key cpu.cores is missing"),
        ("cores = 4", 'cores = "many"', "cpu.cores"),
        ("cores = 4", "cores = -1", "cpu.cores"),
        ("[memory]", "[memory", "not valid TOML"),
        ('core = "cortex-a72"', 'core = "cortex-x9"', "unknown core 'cortex-x9'"),
    ],
)
def test_a_wrong_board_file_is_one_line_that_names_file_and_key(
    user_devices: Path, old: str, new: str, expected: str
) -> None:
    path = user_devices / "pi4.toml"
    path.write_text(PI4.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        find_device("pi4")
    line = str(caught.value)
    assert expected in line and str(path) in line and "\n" not in line


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_toml_record(tmp_path / "none.toml", BoardFile)


def test_a_core_without_a_figure_for_a_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "devices" / "cores"
    folder.mkdir(parents=True)
    shipped = search_path.list_data("devices/cores")["cortex-a72"].read_text(encoding="utf-8")
    (folder / "cortex-a72.toml").write_text(shipped.replace("fp_mac = 1\n", ""), encoding="utf-8")
    monkeypatch.setenv("ARMOPT_CONFIG_DIR", str(tmp_path))
    with pytest.raises(UsageError, match="no figure for instruction class 'fp_mac'"):
        find_core("cortex-a72")

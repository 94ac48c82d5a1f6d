"""What ncnn's published benchmark ran on which cores, and the counts of the same models on those cores under emulation.

    python benchmarks/ncnn_models.py                   # the boards, and how many models each has with 1 and N threads
    python benchmarks/ncnn_models.py pi4 [MODEL ...]   # counts what is missing

Other kernels than LiteRT's on the same cores: a second judge of the latency model's cores, memory and threads.
Counts are of one thread and of the one ncnn version below, the published rows of many. On Cortex-A72 and A76 five
models executed up to 3% (float) and 9% (int8) other instructions with 1.0.20240102 and 1.0.20250503, and up to 6% and
25% with 1.0.20230223.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from armopt.catalog.devices import find_device
from armopt.catalog.search_path import cache_dir
from armopt.core.device import BoardKind
from armopt.runners.qemu.plugin import ensure_plugin
from armopt.runners.qemu.runner import L3_WAYS
from armopt.runners.qemu.sysroot import ensure_sysroot, site_of
from armopt.runners.qemu.tools import run

AGENT = Path(__file__).with_name("ncnn_agent.py")
VERSION = "1.0.20261020"
WHEEL_SHA256 = "0503da4f3960ee2e555feef55db13adffd6c62eb59a4bd22f8083b12d1757ad8"
# Offset of ncnn::NetPrivate::do_forward_layer, which runs one layer, in that wheel's library. It is stripped: found as
# the function that in four models ran once per layer other than Input and does not call itself (forward_layer does).
DO_FORWARD_LAYER = 0x15D4C0

# Model -> edge of its square RGB input: Tencent/ncnn, benchmark/benchncnn.cpp.
INPUTS = {
    **dict.fromkeys(("squeezenet", "squeezenet_int8", "alexnet"), 227),
    **dict.fromkeys(("mobilenet", "mobilenet_int8", "mobilenet_v2", "mobilenet_v3"), 224),
    **dict.fromkeys(("shufflenet", "shufflenet_v2", "mnasnet", "proxylessnasnet"), 224),
    **dict.fromkeys(("efficientnet_b0", "efficientnetv2_b0", "regnety_400m"), 224),
    **dict.fromkeys(("googlenet", "googlenet_int8", "resnet18", "resnet18_int8", "resnet50", "resnet50_int8"), 224),
    **dict.fromkeys(("vgg16", "vgg16_int8"), 224),
    **dict.fromkeys(("squeezenet_ssd", "squeezenet_ssd_int8", "mobilenet_ssd", "mobilenet_ssd_int8"), 300),
    **dict.fromkeys(("mobilenet_yolo", "yolov4-tiny"), 416),
    **dict.fromkeys(("mobilenetv2_yolov3", "yolo-fastestv2", "FastestDet"), 352),
    **dict.fromkeys(("nanodet_m", "yolo-fastest-1.1"), 320),
    "blazeface": 128,
    "vision_transformer": 384,
}


@dataclass(frozen=True)
class Board:
    """Rows of the published table whose threads all ran on one kind of core, and that core's cluster.

    `published` is how the board's name begins there (core and clock are part of it), `powersave` the rows' setting: 0
    all cores, 1 the little ones, 2 the big ones. `base` is the board kind that lends what is not said here: features
    in /proc/cpuinfo, the emulated CPU, memory. `caches_kib` are L1D, L2 and L3 (0: none) as one core sees them.
    """

    published: str
    powersave: int
    base: str
    core: str
    part: int
    cores: int
    freq_mhz: int
    caches_kib: tuple[int, int, int]
    ways: tuple[int, int]
    l2_shared: bool
    source: str


_A53, _A55, _A57, _A72, _A76, _A78AE = 0xD03, 0xD05, 0xD07, 0xD08, 0xD0B, 0xD42
_TRM = "ways: the core's technical reference manual"
_RK356X = "Linux, rockchip/rk356x-base.dtsi: 512 KiB of L3 that the cores see as L2, 16 ways"
_CPUINFO = f"pytorch/cpuinfo, src/arm/cache.c; {_TRM}"


def _a53(published: str, freq_mhz: int, l2_kib: int, source: str, *, powersave: int = 0, cores: int = 4) -> Board:
    caches = (32, l2_kib, 0)
    return Board(published, powersave, "pi3", "cortex-a53", _A53, cores, freq_mhz, caches, (4, 16), True, source)


def _rk356x(published: str, freq_mhz: int) -> Board:
    # QEMU 7.2 has no Cortex-A55: the A76's instruction set is the same as far as ncnn asks, and /proc/cpuinfo decides
    # whether the kernels for in-order cores are taken.
    return Board(published, 0, "pi5", "cortex-a55", _A55, 4, freq_mhz, (32, 512, 0), (4, 16), True, _RK356X)


BOARDS = {
    "snapdragon410": _a53("Qualcomm MSM8916 Snapdragon 410 ", 1200, 512, _CPUINFO),
    "pi3": _a53("Raspberry Pi 3 Model B+ ", 1400, 512, f"sbc-bench results/1isD.txt; {_TRM}"),
    "zero2w": _a53("Raspberry Pi Zero 2 W ", 1000, 512, "the Raspberry Pi 3's silicon"),
    "rk3399-little": _a53("Rockchip RK3399 ", 1500, 512, f"sbc-bench results/21fX.txt; {_TRM}", powersave=1),
    "rk3228h": _a53("EAIDK 310, Rockchip RK3228H ", 1300, 256, "L2: Rockchip RK3328 data sheet"),
    "qrb2210": _a53("Arduino UNO Q - QRB2210 ", 2000, 512, "L2: an assumption, as Snapdragon 410"),
    "ax630c": _a53("AXERA AX630C ", 1200, 256, "L2: an assumption", cores=2),
    "rk3568-p2": _rk356x("Station P2, Rockchip RK3568 ", 2000),
    "rk3568-rock3a": _rk356x("Rock3A, Rockchip RK3568 ", 2000),
    "rk3566-cm4": _rk356x("OrangePicm4, Rockchip Rk3566 ", 1800),
    "snapdragon810-big": Board(
        "Qualcomm MSM8994 Snapdragon 810 ", 2, "jetson-nano", "cortex-a57", _A57, 4, 2000,
        (32, 2048, 0), (2, 16), True, _CPUINFO,
    ),
    "rk3399-big": Board(
        "Rockchip RK3399 ", 2, "pi4", "cortex-a72", _A72, 2, 1800,
        (32, 1024, 0), (2, 16), True, f"sbc-bench results/21fX.txt; {_TRM}",
    ),
    "pi4": Board(
        "Raspberry Pi 4 Model B ", 0, "pi4", "cortex-a72", _A72, 4, 1800,
        (32, 1024, 0), (2, 16), True, f"sbc-bench results/3OBF.txt; {_TRM}",
    ),
    "pi5": Board(
        "Raspberry Pi 5 ", 0, "pi5", "cortex-a76", _A76, 4, 2400,
        (64, 512, 2048), (4, 8), False, f"sbc-bench results/8-NK.txt; {_TRM}",
    ),
    # One of its three clusters of four: threads beyond four see more L3.
    "orin": Board(
        "NVIDIA Jetson AGX Orin ", 0, "pi5", "cortex-a78ae", _A78AE, 12, 2200,
        (64, 256, 2048), (4, 8), False, f"NVIDIA Jetson AGX Orin Series technical brief; {_TRM}",
    ),
}  # fmt: skip


def shared(name: str) -> Path:
    """A file or folder of the published figures and ncnn's graphs, which are no part of this repository."""
    return Path(os.environ.get("ARMOPT_SHARED", "../shared")) / "latency" / name


def published(board: Board) -> dict[int, dict[str, float]]:
    """Threads -> model -> fastest of the published runs in ms; only models of `INPUTS`."""
    found: dict[int, dict[str, float]] = {}
    with shared("ncnn.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            ours = row["board"].startswith(board.published) and int(row["powersave"]) == board.powersave
            if ours and row["model"] in INPUTS:
                found.setdefault(int(row["threads"]), {})[row["model"]] = float(row["min_ms"])
    return found


def board_kind(board: Board) -> BoardKind:
    """What the emulator needs to know of a board; its memory is the base's and no figure of this board."""
    base, (l1d_kib, l2_kib, l3_kib), (l1d_ways, l2_ways) = find_device(board.base), board.caches_kib, board.ways
    cpu = {"core": board.core, "cores": board.cores, "freq_mhz": board.freq_mhz}
    caches: dict[str, object] = {"l1d_kib": l1d_kib, "l1d_ways": l1d_ways, "l2_kib": l2_kib, "l2_ways": l2_ways}
    caches |= {"l2_shared": board.l2_shared, "l3_kib": l3_kib or None}
    return base.model_copy(
        update={
            "cpu": base.cpu.model_copy(update=cpu),
            "caches": base.caches.model_copy(update={**caches, "source": board.source}),
            "core": base.core.model_copy(update={"name": board.core, "part": board.part}),
        }
    )


def count(model: str, board: str, *, options: Sequence[str] | None = None) -> Path:
    """The plugin's dump of one inference of `model` on one core of a board of `BOARDS`, kept in the cache.

    Its segments after the first are the layers that the `.json` beside it lists, in order. `options` are the plugin's
    arguments other than `out=`; the default is the board's caches and a segment per layer.

    Raises:
        subprocess.CalledProcessError: the emulated process failed; its complaint is on stderr.
    """
    kind = board_kind(BOARDS[board])
    if options is None:
        options = (*_cache_options(kind), f"op={DO_FORWARD_LAYER:x}")
    plugin, root = ensure_plugin(say=_tell), _board_root(kind)
    key = hashlib.sha256(f"{plugin.name} {root.name} {options} {AGENT.read_text()}".encode()).hexdigest()[:8]
    kept = cache_dir() / "benchmark" / f"ncnn-{VERSION}" / f"{board}-{key}" / f"{model}.counts"
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        command = ["qemu-aarch64", "-cpu", kind.core.emulator.cpu, "-L", str(root)]
        command += ["-plugin", ",".join([str(plugin), f"out={scratch}/counts", *options])]
        command += [str(root / "usr/bin/python3.11"), "-s", str(AGENT)]
        command += [str(shared("ncnn_params").resolve() / f"{model}.param"), str(INPUTS[model])]
        # A fixed, small environment: what a program inherits moves its stack, and the counts with it.
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"/{site_of('litert')}:{_wheel()}", "PYTHONHASHSEED": "0"}
        env |= {"PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
        kept.with_suffix(".json").write_text(done.stdout, encoding="utf-8")
        Path(scratch, "counts.0").replace(kept)
    return kept


def layers(dump: Path) -> list[tuple[str, str]]:
    """Type and name of each layer of a dump of `count`, in the order of its segments after the first."""
    told = json.loads(dump.with_suffix(".json").read_text(encoding="utf-8"))
    return [(kind, name) for kind, name in told["layers"]]


def _cache_options(kind: BoardKind) -> list[str]:
    caches = kind.caches
    levels = [(caches.l1d_kib, caches.l1d_ways), (caches.l2_kib, caches.l2_ways)]
    levels += [(caches.l3_kib, L3_WAYS)] if caches.l3_kib else []
    return [f"cache={kib}:{ways}" for kib, ways in levels]


@lru_cache(maxsize=1)
def _wheel() -> Path:
    """The folder with ncnn's package, fetched on first use (5 MB)."""
    folder = cache_dir() / "benchmark" / f"ncnn-{VERSION}" / f"wheel-{WHEEL_SHA256[:12]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wanted = Path(scratch, "requirements.txt")
        wanted.write_text(f"ncnn=={VERSION} --hash=sha256:{WHEEL_SHA256}\n", encoding="ascii")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]
        command += ["--platform", "manylinux_2_28_aarch64", "--target", f"{scratch}/wheel", "-r", str(wanted)]
        run(command, "fetching ncnn's wheel", "check the network and run again")
        Path(scratch, "wheel").rename(folder)
    return folder


def _board_root(kind: BoardKind) -> Path:
    """A folder for `qemu-aarch64 -L`: the cached system through links, and the kernel's files that ncnn reads."""
    system, shown = ensure_sysroot(say=_tell, offline=False), _kernel_files(kind)
    key = hashlib.sha256(f"{system} {sorted(shown.items())}".encode()).hexdigest()[:8]
    root = cache_dir() / "benchmark" / f"ncnn-{VERSION}" / f"root-{kind.cpu.core}-{key}"
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        tree = Path(scratch, "root")
        for name, content in shown.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content, encoding="ascii")
        for entry in system.iterdir():
            if entry.name not in ("proc", "sys"):
                (tree / entry.name).symlink_to(entry)
        tree.rename(root)
    return root


def _kernel_files(kind: BoardKind) -> dict[str, str]:
    """Files of /proc and /sys that ncnn's src/cpu.cpp reads: path below the root -> content.

    Identity and clock tell it which kernels to take, the caches how large its tiles of matrices may be. QEMU passes the
    host's files through where the board has none: an empty `level` hides the host's cache of that index.
    """
    cores, caches, folder = kind.cpu.cores, kind.caches, "sys/devices/system/cpu"
    listed = f"0-{cores - 1}\n"
    files = {"proc/cpuinfo": kind.cpuinfo(), f"{folder}/possible": listed, f"{folder}/present": listed}
    # MIDR_EL1 (Arm Architecture Reference Manual): implementer, variant, architecture 15, part, revision
    midr = kind.core.implementer << 24 | kind.cpu.variant << 20 | 15 << 16 | kind.core.part << 4 | kind.cpu.revision
    for core in range(cores):
        own, everyone = f"{1 << core:x}\n", f"{(1 << min(cores, 4)) - 1:x}\n"
        shown = [("1", "Data", caches.l1d_kib, own), ("1", "Instruction", 0, own)]
        shown.append(("2", "Unified", caches.l2_kib, everyone if caches.l2_shared else own))
        shown.append(("3" if caches.l3_kib else "", "Unified", caches.l3_kib or 0, everyone))
        for index, (level, content, kib, sharers) in enumerate(shown):
            at = f"{folder}/cpu{core}/cache/index{index}"
            files |= {f"{at}/level": level, f"{at}/type": content, f"{at}/size": f"{kib}K\n"}
            files[f"{at}/shared_cpu_map"] = sharers
        files[f"{folder}/cpu{core}/topology/core_cpus_list"] = f"{core}\n"
        files[f"{folder}/cpu{core}/topology/thread_siblings_list"] = f"{core}\n"
        files[f"{folder}/cpu{core}/cpufreq/cpuinfo_max_freq"] = f"{kind.cpu.freq_mhz * 1000}\n"
        files[f"{folder}/cpu{core}/regs/identification/midr_el1"] = f"{midr:#018x}\n"
    return files


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_boards() -> None:
    print("| board | core | MHz | powersave | threads | models with one thread too | median speed-up |")
    print("|---|---|---|---|---|---|---|")
    for name, board in BOARDS.items():
        rows = published(board)
        for threads in sorted(rows.keys() & {2, 4}):
            both = sorted(rows[1].keys() & rows[threads].keys())
            gain = statistics.median(rows[1][model] / rows[threads][model] for model in both)
            cluster = f"{board.core} x {board.cores} | {board.freq_mhz} | {board.powersave}"
            print(f"| {name} | {cluster} | {threads} | {len(both)} | {gain:.2f} |")


def main(arguments: list[str]) -> None:
    """Print the boards, or count models of one."""
    if not arguments:
        return _print_boards()
    for model in arguments[1:] or list(INPUTS):
        _tell(f"{arguments[0]} {model}: {count(model, arguments[0])}")
    return None


if __name__ == "__main__":
    main(sys.argv[1:])

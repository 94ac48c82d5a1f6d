"""Says what this board is and how it is doing: FOLDER [SITE], one JSON object on stdout.

FOLDER is where armopt keeps its files, SITE the folder of the runtime's packages; both relative to the home folder.
Standard library only, and the syntax of Python 3.6: a Python that is too old for the rest can say so itself. What a
system does not show is null; only the import of the runtime can take longer than two seconds.
"""

import json
import os
import platform
import re
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from disturbances import cooling, load, temperatures, throttled  # type: ignore[import-not-found]
from system_files import MOST_CPUS, guarded, name, number, paths, read  # type: ignore[import-not-found]

RUNTIME_S = 25.0  # the caller takes a board that is silent for 30 s for lost
CLOCK_BOOTTIME = 7  # linux/time.h; Python names it from 3.7 on
CPU = "/sys/devices/system/cpu/"

# Run with -I -S: neither the environment nor packages of the system answer for what is missing in SITE.
IMPORTED = """import sys
sys.path.insert(0, sys.argv[1])
import importlib, json
import numpy
for package, name in (("ai_edge_litert", "litert"), ("tflite_runtime", "tflite-runtime")):
    try:
        importlib.import_module(package)
    except ImportError:
        continue
    importlib.import_module(package + ".interpreter")
    version = str(getattr(sys.modules[package], "__version__", "unknown"))
    print(json.dumps({"name": name, "version": version, "numpy": numpy.__version__}))
    break
else:
    sys.exit("neither ai_edge_litert nor tflite_runtime is there")
"""


def cpu_list(path: str) -> "list[int]":
    """Numbers of '0-3,8'."""
    numbers: list[int] = []
    for part in read(path).split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), min(int(last or first), int(first) + MOST_CPUS) + 1)
    return numbers[:MOST_CPUS]


def cores() -> "list[dict[str, Any]]":
    """Groups of alike processors in /proc/cpuinfo."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for paragraph in read("/proc/cpuinfo", 1 << 22).split("\n\n")[:MOST_CPUS]:
        values = dict(re.findall(r"^([^\t:]+)[\t ]*: ?(.*)$", paragraph, re.M))
        index = guarded(int, values.get("processor"))
        if index is not None:
            keys = ("CPU implementer", "CPU part", "CPU variant", "CPU revision")
            identity = tuple(guarded(int, values.get(key), 0) for key in keys)
            groups.setdefault((*identity, tuple(values.get("Features", "").split()[:256])), []).append(index)
    return [
        {
            "implementer": implementer,
            "part": part,
            "variant": variant,
            "revision": revision,
            "features": features,
            "processors": processors,
        }
        for (implementer, part, variant, revision, features), processors in groups.items()
    ]


def policies() -> "list[dict[str, Any]]":
    """Clocks and governors: one entry for cores that share a clock."""
    return [
        {
            "name": folder.rpartition("/")[2][:32],
            "cpus": [int(cpu) for cpu in read(folder + "/affected_cpus").split()],
            "governor": name(folder + "/scaling_governor"),
            "min_mhz": number(folder + "/scaling_min_freq", 1000.0),
            "max_mhz": number(folder + "/scaling_max_freq", 1000.0),
            "current_mhz": number(folder + "/scaling_cur_freq", 1000.0),
            "hardware_max_mhz": number(folder + "/cpuinfo_max_freq", 1000.0),
        }
        for folder in paths(CPU + "cpufreq/policy*")
    ]


def memory() -> "dict[str, int | None]":
    """Bytes."""
    kib = dict(re.findall(r"^(\w+):\s+(\d+) kB$", read("/proc/meminfo"), re.M))
    keys = {"total": "MemTotal", "available": "MemAvailable", "swap_total": "SwapTotal", "swap_free": "SwapFree"}
    return {told + "_bytes": 1024 * int(kib[key]) if key in kib else None for told, key in keys.items()}


def place(path: Path) -> "dict[str, Any]":
    """The file system that a folder lies in, or would lie in."""
    existing = next(folder for folder in (path, *path.parents) if folder.is_dir())
    told = os.statvfs(str(existing))
    return {
        "exists": existing == path,
        "writable": os.access(str(existing), os.W_OK | os.X_OK) and not told.f_flag & os.ST_RDONLY,
        "noexec": bool(told.f_flag & os.ST_NOEXEC),
        "free_bytes": told.f_bavail * told.f_frsize,
        "free_inodes": told.f_favail if told.f_files else None,  # btrfs counts none
    }


def libc() -> "tuple[str | None, str | None]":
    """The C library's name and version."""
    told, _, version = (guarded(os.confstr, "CS_GNU_LIBC_VERSION") or "").partition(" ")
    if told == "glibc":
        return told, version[:16]
    if paths("/lib/ld-musl-*"):
        return "musl", None
    return platform.libc_ver()[0][:16] or None, None


def glibcxx() -> str:
    """The newest symbol version of the C++ library: runtimes need one, and wheels' tags do not tell which."""
    import ctypes  # here, for a Python that was made without it

    ctypes.CDLL("libstdc++.so.6")
    lines = read("/proc/self/maps", 1 << 20).split("\n")
    path = next(line.split(None, 5)[5] for line in lines if "libstdc++.so" in line)
    with Path(path).open("rb") as file:
        found: set[bytes] = set(re.findall(rb"GLIBCXX_(3\.4(?:\.\d{1,4})?)\x00", file.read(1 << 24)))
    return max(found, key=lambda version: [int(part) for part in version.split(b".")]).decode("ascii")


def runtime(site: Path) -> "dict[str, Any] | None":
    """What can be imported from a folder of packages; None where there is no such folder."""
    if not site.is_dir():
        return None
    nothing: dict[str, Any] = {"name": None, "version": None, "numpy": None}
    command = [sys.executable, "-I", "-S", "-B", "-c", IMPORTED, str(site)]
    # In a process of its own: a library made for another CPU ends it by a signal.
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        return dict(nothing, error=str(error)[:300])
    try:
        told, complaint = child.communicate(timeout=RUNTIME_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return dict(nothing, error=f"no answer in {RUNTIME_S:.0f} s")
    if child.returncode == 0:
        return dict(json.loads(told.decode("utf-8").strip().split("\n")[-1]), error=None)
    last = complaint.decode("utf-8", "replace").strip().split("\n")[-1]
    return dict(nothing, error=f"exit code {child.returncode}: {last}"[:300])


def system_bits() -> "int | None":
    """Bits of the system's programs: the fifth byte of their header, elf(5)."""
    with Path("/bin/sh").open("rb") as file:
        return {b"\x7fELF\x01": 32, b"\x7fELF\x02": 64}.get(file.read(5))


def facts(folder: str, site: str) -> "dict[str, Any]":
    """All of them."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', read("/etc/os-release"), re.M))
    libc_name, libc_version = libc()
    home = Path.home().resolve()
    return {
        "event": "facts",
        "machine": platform.machine()[:32],
        "board": name("/proc/device-tree/model", 128),
        "kernel": platform.release()[:128],
        "system": release.get("PRETTY_NAME", "")[:128] or None,
        "python": platform.python_version()[:32],
        "implementation": sys.implementation.name[:32],
        "abiflags": sys.abiflags[:8],
        "python_bits": 8 * struct.calcsize("P"),
        "system_bits": guarded(system_bits),
        "libc": libc_name,
        "libc_version": libc_version,
        "glibcxx": guarded(glibcxx),
        "cores": guarded(cores) or [],
        "online": guarded(cpu_list, CPU + "online"),
        "policies": guarded(policies) or [],
        "temperatures": guarded(temperatures) or [],
        "cooling": guarded(cooling) or [],
        "throttled": guarded(throttled),
        "load_average": guarded(os.getloadavg),
        "load": guarded(load),
        "memory": guarded(memory),
        "folder": guarded(place, (home / folder).resolve()),
        "home": guarded(place, home),
        "runtime": guarded(runtime, home / site) if site else None,
        "boot_id": name("/proc/sys/kernel/random/boot_id", 64),
        # Last, so that the caller reads its own clock at about the same time.
        "boottime_s": guarded(time.clock_gettime, CLOCK_BOOTTIME),
        "monotonic_s": time.monotonic(),
        "wall_s": time.time(),
    }


def main() -> None:
    """Print the facts."""
    folder, site, *_ = [*sys.argv[1:], "", ""]
    sys.stdout.write(json.dumps(facts(folder, site)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

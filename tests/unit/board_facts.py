"""Facts of a Raspberry Pi 4 as it should be, for tests that spoil one of them."""

from __future__ import annotations

from typing import Any

from armopt.runners.ssh.facts import Facts

PI4: dict[str, Any] = {
    "machine": "aarch64",
    "board": "Raspberry Pi 4 Model B Rev 1.4",
    "kernel": "6.6.31+rpt-rpi-v8",
    "system": "Debian GNU/Linux 12 (bookworm)",
    "python": "3.11.2",
    "implementation": "cpython",
    "abiflags": "",
    "python_bits": 64,
    "system_bits": 64,
    "libc": "glibc",
    "libc_version": "2.36",
    "glibcxx": "3.4.30",
    "cores": (
        {
            "implementer": 0x41,
            "part": 0xD08,
            "variant": 0,
            "revision": 3,
            "features": ("fp", "asimd", "evtstrm", "crc32", "cpuid"),
            "processors": (0, 1, 2, 3),
        },
    ),
    "online": (0, 1, 2, 3),
    "policies": (
        {
            "name": "policy0",
            "cpus": (0, 1, 2, 3),
            "governor": "performance",
            "min_mhz": 600.0,
            "max_mhz": 1800.0,
            "current_mhz": 1800.0,
            "hardware_max_mhz": 1800.0,
        },
    ),
    "temperatures": ({"name": "cpu-thermal", "celsius": 48.2},),
    "cooling": ({"name": "cpufreq-cpu0", "state": 0.0, "most": 4.0},),
    "throttled": 0,
    "load_average": (0.1, 0.1, 0.1),
    "load": {
        "busy_cores": 0.02,
        "processes": ({"pid": 400, "name": "avahi-daemon", "share": 0.02},),
        "swap_pages_per_s": 0.0,
    },
    "memory": {
        "total_bytes": 4 << 30,
        "available_bytes": 3 << 30,
        "swap_total_bytes": 100 << 20,
        "swap_free_bytes": 100 << 20,
    },
    "folder": {"exists": True, "writable": True, "noexec": False, "free_bytes": 8 << 30, "free_inodes": 500_000},
    "home": {"exists": True, "writable": True, "noexec": False, "free_bytes": 8 << 30, "free_inodes": 500_000},
    "runtime": {"name": "litert", "version": "2.1.6", "numpy": "2.2.6", "error": None},
    "boot_id": "3c0f6f0a-0d0b-4d0e-8f0e-0d0b4d0e8f0e",
    "boottime_s": 86400.0,
    "monotonic_s": 86400.0,
    "wall_s": 1_700_000_000.0,
}


def pi4(**changed: Any) -> Facts:
    """The facts of a Pi 4; the keys of `changed` are paths such as `memory__available_bytes`, lists are entered."""
    values: dict[str, Any] = {**PI4}
    for path, value in changed.items():
        first, *rest = path.split("__")
        values[first] = _with(values[first], rest, value)
    return Facts.model_validate(values)


def _with(old: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    if isinstance(old, tuple):
        return tuple(_with(one, path, value) for one in old)
    return {**old, path[0]: _with(old[path[0]], path[1:], value)}

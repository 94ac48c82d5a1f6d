"""What makes a board slower than it is: heat, too little power, and what others do on it.

Sent to the board with the scripts that import it; Python 3.6 and later.
"""

import os
import re
import subprocess
import time
from typing import Any

from system_files import name, number, paths, read  # type: ignore[import-not-found]

MOST_PROCESSES = 4096
SAMPLE_S = 0.5


def temperatures() -> "list[dict[str, Any]]":
    """Degrees of each thermal zone."""
    zones = paths("/sys/class/thermal/thermal_zone*")[:64]
    told = [{"name": name(zone + "/type"), "celsius": number(zone + "/temp", 1000.0)} for zone in zones]
    return [zone for zone in told if zone["celsius"] is not None]


def cooling() -> "list[dict[str, Any]]":
    """How far each means of cooling is applied: a fan, or a lower clock."""
    devices = paths("/sys/class/thermal/cooling_device*")[:64]
    told = [
        (name(device + "/type"), number(device + "/cur_state"), number(device + "/max_state")) for device in devices
    ]
    return [{"name": kind, "state": state, "most": most} for kind, state, most in told if state is not None]


def throttled() -> "int | None":
    """A Raspberry Pi's flags, see raspberrypi.com/documentation/computers/os.html#get_throttled."""
    try:
        told = subprocess.check_output(["vcgencmd", "get_throttled"], stderr=subprocess.DEVNULL, timeout=1.0)
        return int(told.decode("ascii").rpartition("=")[2], 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        pass
    # The Raspberry Pi's own kernel; it writes a warning into its log when asked, so it is not asked first.
    for path in paths("/sys/devices/platform/soc*/*firmware/get_throttled"):
        return int(read(path), 16)
    # Other kernels (drivers/hwmon/raspberrypi-hwmon.c) tell of the last seconds' voltage only.
    for folder in paths("/sys/class/hwmon/hwmon*"):
        if read(folder + "/name") == "rpi_volt":
            return int(read(folder + "/in0_lcrit_alarm")) & 1
    return None


def processes() -> "dict[tuple[int, str], tuple[int, int, str]]":
    """(process, its start) -> (ticks, parent, name); proc(5) counts fields from 1, here the third is the first."""
    found: dict[tuple[int, str], tuple[int, int, str]] = {}
    for path in paths("/proc/[0-9]*/stat")[:MOST_PROCESSES]:
        told = read(path, 4096)
        fields = told.rpartition(")")[2].split()
        if len(fields) > 19:
            command = told.partition("(")[2].rpartition(")")[0][:32]
            found[int(path.split("/")[2]), fields[19]] = (int(fields[11]) + int(fields[12]), int(fields[1]), command)
    return found


def busy_ticks() -> int:
    """Ticks that all cores together have worked: without idle and iowait, the fourth and fifth."""
    fields = [int(field) for field in read("/proc/stat").split("\n")[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4]


def swapped_pages() -> int:
    """Pages that went to swap and back since the system started."""
    return sum(int(count) for count in re.findall(r"^pswp(?:in|out) (\d+)$", read("/proc/vmstat"), re.M))


def load() -> "dict[str, Any]":
    """What others do with the cores, over a short sample; shares are of one core."""
    tick = float(os.sysconf("SC_CLK_TCK"))
    began, mine, busy, pages = time.monotonic(), sum(os.times()[:2]), busy_ticks(), swapped_pages()
    before = processes()
    time.sleep(SAMPLE_S)
    after = processes()
    seconds = time.monotonic() - began
    # What this script itself does is no load.
    others = (busy_ticks() - busy) / tick - (sum(os.times()[:2]) - mine)
    parents = {pid: parent for (pid, _), (_, parent, _) in after.items()}
    own, pid = {0, 2}, os.getpid()
    while pid not in own:  # nor is what the shell and the SSH server above it do for it
        own.add(pid)
        pid = parents.get(pid, 0)
    worked = [(ticks - before.get(key, (0,))[0], key[0], told) for key, (ticks, _, told) in after.items()]
    # The kernel's threads are children of 2; nobody can stop one.
    kernel = {pid for pid, parent in parents.items() if parent == 2}
    most = sorted((row for row in worked if row[0] > 0 and row[1] not in own | kernel), reverse=True)[:5]
    return {
        "busy_cores": max(0.0, others / seconds),
        "processes": [{"pid": pid, "name": told, "share": ticks / tick / seconds} for ticks, pid, told in most],
        "swap_pages_per_s": (swapped_pages() - pages) / seconds,
    }

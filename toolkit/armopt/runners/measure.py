"""Times the calibration shapes on the board that it runs on: `python3 measure.py` writes timings.json beside itself.

Copied to the board with agent.py, the .tflite files and probes.json (`armopt devices calibrate --export`). Needs Python
3.9, numpy and a runtime, as the agent does. Every shape runs for each number of threads in processes of its own, round
after round, so that what changes meanwhile (heat, other load) meets all shapes alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035 - Python 3.9's own

HERE = Path(__file__).resolve().parent
CPUS = Path("/sys/devices/system/cpu")
WARM_S, LEAST_RUNS, MOST_RUNS = 0.2, 5, 200  # a governor takes about a tenth of a second to raise the clock
LIMIT_S = 300.0


def parse_cpuinfo(text: str) -> dict[int, tuple[int, int]]:
    """CPU number -> (implementer, part) from the text of /proc/cpuinfo; empty on other architectures."""
    found: dict[int, tuple[int, int]] = {}
    for paragraph in text.split("\n\n"):
        pairs = [line.partition(":") for line in paragraph.splitlines()]
        values = {key.strip(): value.strip() for key, _, value in pairs}
        try:
            identity = int(values["CPU implementer"], 16), int(values["CPU part"], 16)
            found[int(values["processor"])] = identity
        except (KeyError, ValueError):
            continue
    return found


def usable_cpus(seen: dict[int, tuple[int, int]], wanted: tuple[int, int]) -> list[int]:
    """The CPUs to run on: those of the wanted kind where there are some (big and little), else all."""
    allowed = sorted(os.sched_getaffinity(0))
    return [cpu for cpu in allowed if seen.get(cpu) == wanted] or allowed


def told_by_kernel(path: Path) -> str:
    """A file of /proc or /sys; '' where it is not there or not for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def clocks_mhz(cpus: Iterable[int]) -> float | None:
    """The highest clock of these CPUs now; None where the kernel does not tell."""
    texts = [told_by_kernel(CPUS / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq") for cpu in cpus]
    found = [int(text) / 1e3 for text in texts if text.isdigit()]
    return max(found) if found else None


def time_one(job: dict[str, Any]) -> dict[str, Any]:
    """Time one shape in this process."""
    import agent  # type: ignore[import-not-found]  # lies beside this file on the board

    np = agent.np
    interpreter_class, runtime, own_kernels = agent.load_runtime()
    options = {} if job["kernels"] == "xnnpack" else {"experimental_op_resolver_type": own_kernels}
    interpreter = agent.make_interpreter(interpreter_class, job["model"], job["threads"], **options)
    random = np.random.default_rng(1)
    for tensor in interpreter.get_input_details():
        if np.dtype(tensor["dtype"]).kind == "f":
            value = random.random(tensor["shape"], dtype=np.float32)
        else:
            value = random.integers(-128, 128, tensor["shape"]).astype(tensor["dtype"])
        interpreter.set_tensor(tensor["index"], value)
    warm = time.perf_counter()
    interpreter.invoke()
    while time.perf_counter() - warm < min(WARM_S, job["seconds"]):
        interpreter.invoke()
    raw_ms: list[float] = []
    end = time.perf_counter() + job["seconds"]
    while len(raw_ms) < LEAST_RUNS or (len(raw_ms) < MOST_RUNS and time.perf_counter() < end):
        began = time.perf_counter()
        interpreter.invoke()
        raw_ms.append(1e3 * (time.perf_counter() - began))
    return {"runtime": runtime, "numpy": np.__version__, "raw_ms": raw_ms, "mhz": clocks_mhz(os.sched_getaffinity(0))}


def in_a_process(job: dict[str, Any]) -> dict[str, Any] | None:
    """What `time_one` says in a fresh process; None, and a line on stderr, where the runtime fails."""
    command = [sys.executable, str(HERE / "measure.py"), "--one", json.dumps(job)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"left out: {Path(job['model']).name} ran longer than {LIMIT_S:.0f} s", file=sys.stderr)
        return None
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        told: dict[str, Any] = json.loads(lines[-1])
        return told
    complaint = (done.stderr.strip().splitlines() or ["no message"])[-1]
    print(f"left out: {Path(job['model']).name}: {complaint[:200]}", file=sys.stderr)
    return None


def measure(asked: dict[str, Any], processes: int, seconds: float) -> dict[str, Any] | None:
    """All timings as timings.json holds them, or None where nothing could be timed."""
    seen = parse_cpuinfo(told_by_kernel(Path("/proc/cpuinfo")))
    cpus = usable_cpus(seen, (asked["implementer"], asked["part"]))
    os.sched_setaffinity(0, cpus)  # children inherit it
    numbers = sorted({min(threads, len(cpus)) for threads in asked["threads"]})
    files = {name: HERE / f"{name}.tflite" for name in asked["probes"]}
    raw: dict[tuple[str, int], list[list[float]]] = {}
    last, clocks = dict[str, Any](), list[float]()
    for turn in range(processes):
        for index, (name, path) in enumerate(files.items()):
            print(f"round {turn + 1} of {processes}: {name}, {index + 1} of {len(files)}", file=sys.stderr)
            for threads in numbers:
                job = {"model": str(path), "threads": threads, "kernels": asked["kernels"], "seconds": seconds}
                told = in_a_process(job)
                if told is not None:
                    last = told
                    raw.setdefault((name, threads), []).append(told["raw_ms"])
                    clocks += [told["mhz"]] if told["mhz"] else []
    if not raw:
        return None
    digests = {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name, _ in raw}
    return {
        "format": 1,
        "device": asked["device"],
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}"[:80],
        "runtime": last["runtime"],
        "numpy": last["numpy"],
        "kernels": asked["kernels"],
        "cpus": [{"implementer": seen[cpu][0], "part": seen[cpu][1]} for cpu in cpus if cpu in seen],
        "governor": told_by_kernel(CPUS / f"cpu{cpus[0]}" / "cpufreq" / "scaling_governor")[:80] or None,
        "lowest_mhz": min(clocks) if clocks else None,
        "highest_mhz": max(clocks) if clocks else None,
        "timings": [
            {"probe": name, "sha256": digests[name], "threads": threads, "raw_ms": runs}
            for (name, threads), runs in raw.items()
        ],
    }


def main() -> int:
    """Time everything and write timings.json; 0, or 1 where nothing could be timed."""
    parser = argparse.ArgumentParser(description="Times the shapes beside this file; writes timings.json.")
    parser.add_argument("--processes", type=int, default=3, help="rounds, each in fresh processes (3)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing per shape and process (0.5)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(time_one(json.loads(options.one))))
        return 0
    asked = json.loads((HERE / "probes.json").read_text(encoding="utf-8"))
    found = measure(asked, max(1, options.processes), max(0.0, options.seconds))
    if found is None:
        print("nothing could be timed: see the lines above", file=sys.stderr)
        return 1
    # Renamed when whole: a board that loses power leaves no half file.
    beside = HERE / "timings.json.part"
    beside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, HERE / "timings.json")  # noqa: PTH105 - one atomic step
    print(f"wrote {HERE / 'timings.json'}: {len(found['timings'])} timings", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

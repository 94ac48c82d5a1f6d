"""What a run's supervisor does: the agent (agent.py) in one fresh process after the other, and a word on each.

It is a process of its own that outlives the connection (runs.py starts it). If it is killed, its agent goes with it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import lock  # type: ignore[import-not-found]
from board_common import checked, is_full, read_text, write_whole  # type: ignore[import-not-found]

SHOWN_S = 0.5
LINE_LIMIT = 1 << 24
ROOM = 1 << 16
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def whole_lines(run: Path) -> list[dict[str, Any]]:
    """The run's events so far, without a line that was torn when the board went down."""
    told = []
    for line in read_text(run / "events").splitlines():
        try:
            told.append(json.loads(line))
        except ValueError:
            continue
    return told


class Log:
    """The events file: a line is on the disk when `write` returns, and nothing of it where there is no room."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        line, before = json.dumps({"event": event, **values}).encode() + b"\n", os.fstat(self._handle).st_size
        try:
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, before)
            raise


def supervise(folder: Path, run: Path, token: str) -> None:
    """Do what of the run is missing."""
    spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))
    lock.keep(folder, token, json.loads(read_text(run / "supervisor")))
    log = Log(run / "events")
    done = whole_lines(run)
    ok = True
    try:
        if spec.get("outputs") is not None and not any(event["event"] == "outputs" for event in done):
            ok = agent(folder, run, spec, spec["outputs"], log, "outputs")
        rounds = [event["index"] for event in done if event["event"] == "round"]
        first = max([spec.get("first_round", 0), *(index + 1 for index in rounds)])
        if spec.get("sustain") and ok:
            ok = agent(folder, run, spec, [spec["sustain"]], log, "sustained")
        for index in range(first, spec.get("rounds", 0)):
            if not ok or (run / "stop").exists():
                break
            cool_down(spec, log)
            ok = agent(folder, run, spec, [spec["timing"]], log, "round", index=index)
    except Exception as error:  # whatever it is, whoever follows has to hear of it
        full = isinstance(error, OSError) and is_full(error)
        log.write("error", kind="disk" if full else "supervisor", text=f"{type(error).__name__}: {error}")
        ok = False
    log.write("end", ok=ok)


def agent(
    folder: Path, run: Path, spec: dict[str, Any], jobs: list[dict[str, Any]], log: Log, what: str, **further: Any
) -> bool:
    """Run the agent once; its last words become one event. False where it failed."""
    write_whole(run / "jobs.json", json.dumps([placed(job, folder, run) for job in jobs]).encode())
    told: list[dict[str, Any]] = []
    failed: dict[str, Any] | None = None
    shown = 0.0
    with (run / "agent-stderr.txt").open("wb") as stderr:
        process = started(folder, run, spec, stderr)
        assert process.stdout is not None
        for line in iter(lambda: process.stdout.readline(LINE_LIMIT), b""):  # type: ignore[union-attr]
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the runtime's own chatter
            kind = event.pop("event", None) if isinstance(event, dict) else None
            if kind == "loaded":
                told.append(event)
            elif kind == "done":
                told[-1].update(event)
            elif kind == "error":
                failed = event
            elif kind == "slice":
                log.write("slice", told=event)
            elif kind == "progress" and time.monotonic() - shown > SHOWN_S:
                shown = time.monotonic()
                log.write("progress", done=event["done"], samples=event["samples"])
        code = process.wait()
    if failed is not None:
        log.write("error", kind=str(failed.get("kind")), text=str(failed.get("text"))[:500])
        return False
    if code != 0:
        complaint = (read_text(run / "agent-stderr.txt").splitlines() or ["no message"])[-1][:300]
        if shutil.disk_usage(run).free < ROOM:  # then it had no room for a complaint either
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        log.write("agent_failed", code=code, text=complaint)
        return False
    log.write(what, told=told, **further)
    return True


def started(folder: Path, run: Path, spec: dict[str, Any], stderr: Any) -> subprocess.Popen[bytes]:
    """The agent's process, which says what it does on its stdout."""
    command = [spec["python"], "-s", "-B", str(folder / "files" / checked(spec["agent"])), str(run / "jobs.json")]
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(Path.home())}
    if spec.get("runtime"):
        environment["PYTHONPATH"] = str(folder / "runtimes" / checked(spec["runtime"]))
    elif "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    prctl = ctypes.CDLL(None).prctl

    def end_with_us() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # an agent that nobody waits for would disturb the next one

    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        cwd=str(run),
        preexec_fn=end_with_us,  # this process has one thread
    )


def placed(job: dict[str, Any], folder: Path, run: Path) -> dict[str, Any]:
    """A job with paths for the checksums and names that it gives."""
    made = dict(job, model=str(folder / "files" / checked(job["model"])))
    if job.get("inputs"):
        made["inputs"] = str(folder / "files" / checked(job["inputs"]))
    if job.get("outputs"):
        made["outputs"] = str(run / checked(job["outputs"]))
    return made


def cool_down(spec: dict[str, Any], log: Log) -> None:
    """Wait, no longer than asked, until the board is as cool as asked."""
    asked = spec.get("cool") or {}
    deadline = time.monotonic() + float(asked.get("wait_s", 0))
    told = False
    while asked and time.monotonic() < deadline:
        texts = [read_text(zone / "temp") for zone in Path("/sys/class/thermal").glob("thermal_zone*")]
        warmest = max([int(text) / 1e3 for text in texts if text.lstrip("-").isdigit()], default=0.0)
        if warmest <= float(asked["below_c"]):
            return
        if not told:
            log.write("cooling", temperature_c=warmest)
            told = True
        time.sleep(1.0)

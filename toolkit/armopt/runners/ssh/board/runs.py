"""Runs on the board that outlive the connection: `start`, `follow`, `fetch`, `stop`, `forget`.

A run is a folder with what to do (`spec.json`), what came of it so far (`events`, one JSON object a line, each on disk
before the next is begun) and the files that the agent wrote. Its supervisor, in a session of its own, runs the agent
(agent.py) in one fresh process after the other. A run that died is started again and goes on with what is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lock  # type: ignore[import-not-found]
from board_common import (  # type: ignore[import-not-found]
    boot_id,
    checked,
    fail,
    private_folder,
    process_start,
    read_text,
    say,
    told_errors,
    write_whole,
)

POLL_S, ALIVE_S, SHOWN_S = 0.05, 2.0, 0.5
LINE_LIMIT = 1 << 24


def supervisor(run: Path) -> dict[str, Any]:
    """The living supervisor of a run; empty where there is none."""
    try:
        told = json.loads(read_text(run / "supervisor"))
        alive = told["boot"] == boot_id() and process_start(int(told["pid"])) == told["start"]
    except (ValueError, KeyError, TypeError):
        return {}
    return told if alive else {}


def whole_lines(run: Path) -> list[dict[str, Any]]:
    """The run's events so far; a line that was torn when the board went down is dropped from the file."""
    path = run / "events"
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        write_whole(path, whole)
    return [json.loads(line) for line in whole.splitlines()]


def start(folder: Path, name: str, token: str) -> None:
    """Start the run that stdin describes, or find it running or ended."""
    run = folder / "runs" / checked(name)
    run.mkdir(parents=True, exist_ok=True)
    if supervisor(run):
        say("running")
        return
    told = whole_lines(run)
    if told and told[-1]["event"] == "end" and told[-1]["ok"]:
        say("running")
        return
    write_whole(run / "spec.json", sys.stdin.buffer.read())
    (run / "stop").unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        detach(run)
        try:
            supervise(folder, run, token)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 10
    while not supervisor(run) and time.monotonic() < deadline:
        time.sleep(POLL_S)
        if process_start(child) == "":
            break  # so short a run is over already
    say("running")


def detach(run: Path) -> None:
    """Leave the connection's session behind."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    complaints = os.open(run / "stderr.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    for descriptor, number in ((nothing, 0), (nothing, 1), (complaints, 2)):
        os.dup2(descriptor, number)
    write_whole(
        run / "supervisor",
        json.dumps({"pid": os.getpid(), "start": process_start(os.getpid()), "boot": boot_id()}).encode(),
    )


def supervise(folder: Path, run: Path, token: str) -> None:
    """Do what of the run is missing."""
    spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))
    lock.keep(folder, token, json.loads(read_text(run / "supervisor")))
    log = Log(run / "events")
    done = [event for event in whole_lines(run) if event["event"] in ("outputs", "round")]
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
        log.write("error", kind="supervisor", text=f"{type(error).__name__}: {error}")
        ok = False
    log.write("end", ok=ok)


class Log:
    """The events file: a line is on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        os.write(self._handle, json.dumps({"event": event, **values}).encode() + b"\n")
        os.fsync(self._handle)


def agent(
    folder: Path, run: Path, spec: dict[str, Any], jobs: list[dict[str, Any]], log: Log, what: str, **further: Any
) -> bool:
    """Run the agent once; its last words become one event. False where it failed."""
    write_whole(run / "jobs.json", json.dumps([placed(job, folder, run) for job in jobs]).encode())
    command = [spec["python"], "-s", "-B", str(folder / "files" / checked(spec["agent"])), str(run / "jobs.json")]
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(Path.home())}
    if spec.get("runtime"):
        environment["PYTHONPATH"] = str(folder / "runtimes" / checked(spec["runtime"]))
    elif "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    told: list[dict[str, Any]] = []
    failed: dict[str, Any] | None = None
    shown = 0.0
    with (run / "agent-stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment, cwd=str(run))
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
        complaint = read_text(run / "agent-stderr.txt").splitlines()
        log.write("agent_failed", code=code, text=(complaint or ["no message"])[-1][:300])
        return False
    log.write(what, told=told, **further)
    return True


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


def follow(folder: Path, name: str, offset: int, token: str) -> None:
    """Print the run's events from a byte on, as they come; `alive`: it still works, `dead`: it does not."""
    run = folder / "runs" / checked(name)
    spoke = time.monotonic()
    while True:
        alive = bool(supervisor(run))  # asked first: what it wrote before it ended is then seen
        content = b""
        if (run / "events").exists():
            with (run / "events").open("rb") as file:
                file.seek(offset)
                content = file.read(LINE_LIMIT)
        whole = content[: content.rfind(b"\n") + 1]
        if whole:
            offset += len(whole)
            sys.stdout.write(whole.decode())
            sys.stdout.flush()
            spoke = time.monotonic()
            if json.loads(whole.splitlines()[-1])["event"] == "end":
                return
        elif not alive:
            say("dead")
            return
        elif time.monotonic() - spoke > ALIVE_S:
            lock.keep(folder, token)
            say("alive", offset=offset)
            spoke = time.monotonic()
        time.sleep(POLL_S)


def fetch(folder: Path, name: str, file: str) -> None:
    """Send a file of a run: a line with its size and checksum, then its bytes."""
    content = (folder / "runs" / checked(name) / checked(file)).read_bytes()
    say("file", size=len(content), sha256=hashlib.sha256(content).hexdigest())
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def stop(folder: Path, name: str) -> None:
    """No further round; the one that is being timed is ended."""
    run = folder / "runs" / checked(name)
    (run / "stop").touch()
    told = supervisor(run)
    if told:
        os.killpg(int(told["pid"]), signal.SIGTERM)
    say("stopped")


def forget(folder: Path, name: str) -> None:
    """Remove a run, and those that nobody came back for."""
    shutil.rmtree(folder / "runs" / checked(name), ignore_errors=True)
    for run in (folder / "runs").glob("*"):
        if not supervisor(run) and time.time() - run.stat().st_mtime > 7 * 86400:
            shutil.rmtree(run, ignore_errors=True)
    say("forgotten")


def main() -> None:
    """COMMAND FOLDER RUN [ARGS]."""
    command, name, run, *rest = sys.argv[1:]
    with told_errors():
        folder = private_folder(name)
        try:
            if command == "start":
                start(folder, run, rest[0])
            elif command == "follow":
                follow(folder, run, int(rest[0]), rest[1])
            elif command == "fetch":
                fetch(folder, run, rest[0])
            elif command == "stop":
                stop(folder, run)
            elif command == "forget":
                forget(folder, run)
        except FileNotFoundError as error:
            fail("gone", f"{error.filename} is not there")


main()

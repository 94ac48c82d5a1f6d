"""Runs on the board that outlive the connection: `start`, `follow`, `fetch`, `stop`, `forget`.

A run is a folder with what to do (`spec.json`), what came of it so far (`events`, one JSON object a line, each on disk
before the next is begun) and the files that the agent wrote. Its supervisor (supervise.py) is in a session of its own.
A run that died is started again and goes on with what is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import lock  # type: ignore[import-not-found]
from board_common import (  # type: ignore[import-not-found]
    alone,
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
from supervise import supervise, whole_lines  # type: ignore[import-not-found]

POLL_S, ALIVE_S = 0.05, 2.0
PIECE = 1 << 24
KEPT = 16  # runs that nobody came back for


def supervisor(run: Path) -> dict[str, Any]:
    """The living supervisor of a run; empty where there is none."""
    try:
        told = json.loads(read_text(run / "supervisor"))
        alive = told["boot"] == boot_id() and process_start(int(told["pid"])) == told["start"]
    except (ValueError, KeyError, TypeError):
        return {}
    return told if alive else {}


def start(folder: Path, name: str, token: str) -> None:
    """Start the run that stdin describes, or find it running or ended. The lock's holder ends what else runs."""
    spec = sys.stdin.buffer.read()
    try:
        json.loads(spec)
    except ValueError:
        fail("cut", "the connection ended before the run was described")
    if not lock.keep(folder, token):
        fail("held", "somebody else took it meanwhile")
    run = folder / "runs" / checked(name)
    run.mkdir(parents=True, exist_ok=True)
    with alone(run) as guard:
        told = whole_lines(run)
        if not supervisor(run) and not (told and told[-1]["event"] == "end" and told[-1]["ok"]):
            for other in (folder / "runs").iterdir():
                halt(other)
            begin(folder, run, token, spec, told, guard.fileno())
    say("running")


def begin(folder: Path, run: Path, token: str, spec: bytes, told: list[dict[str, Any]], guard: int) -> None:
    """Let a supervisor do what is missing; `told` is what an earlier one said."""
    # What went wrong in an earlier try is no word on this one.
    kept = [json.dumps(event) + "\n" for event in told if event["event"] in ("outputs", "round")]
    write_whole(run / "events", "".join(kept).encode())
    write_whole(run / "spec.json", spec)
    (run / "stop").unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            detach(run)
            os.close(guard)  # from here on a second `start` finds this one
            supervise(folder, run, token)
        finally:
            os._exit(0)
    while not supervisor(run) and process_start(child):
        time.sleep(POLL_S)


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


def halt(run: Path) -> None:
    """End a run, if it works; what it has finished stays."""
    told = supervisor(run)
    if told:
        (run / "stop").touch()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(told["pid"]), signal.SIGTERM)


def follow(folder: Path, name: str, offset: int, token: str, most_s: float) -> None:
    """Print the run's events from a byte on, as they come, for so long.

    `alive`: until this byte all is told, and it goes on; `dead`: nobody works on it any more.
    """
    run = folder / "runs" / checked(name)
    began = spoke = time.monotonic()
    while time.monotonic() - began < most_s:
        alive = bool(supervisor(run))  # asked first: what it wrote before it ended is then seen
        content = b""
        if (run / "events").exists():
            with (run / "events").open("rb") as file:
                file.seek(offset)
                content = file.read(PIECE)
        whole = content[: content.rfind(b"\n") + 1]
        if whole:
            offset += len(whole)
            sys.stdout.write(whole.decode())
            if json.loads(whole.splitlines()[-1])["event"] == "end":
                return
        elif not alive:
            say("dead")
            return
        if whole or time.monotonic() - spoke > ALIVE_S:
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


def forget(folder: Path, name: str) -> None:
    """Remove a run, and the oldest of those that nobody came back for."""
    shutil.rmtree(folder / "runs" / checked(name), ignore_errors=True)
    left = sorted((folder / "runs").iterdir(), key=lambda run: run.stat().st_mtime)
    for run in left[:-KEPT]:  # by their number: a clock that jumps makes nothing old
        if not supervisor(run):
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
                follow(folder, run, int(rest[0]), rest[1], float(rest[2]))
            elif command == "fetch":
                fetch(folder, run, rest[0])
            elif command == "stop":
                halt(folder / "runs" / checked(run))
                say("stopped")
            elif command == "forget":
                forget(folder, run)
        except FileNotFoundError as error:
            fail("gone", f"{error.filename} is not there")


main()

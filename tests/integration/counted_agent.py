"""An agent that can be counted: each of its processes leaves a line in armopt's folder on the board.

It stands in for runners/agent.py where faults are tested: what it runs are no models but their checksums, which have to
be the names of the files; its outputs are its inputs. A round takes a tenth of the time that is asked for.
Standard library, Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

RUNTIME = {"runtime": "litert 2.1.6", "numpy": "2.0.0"}


def note(line: str) -> None:
    """Add a line to the file `ran`, in one write."""
    handle = os.open(Path.cwd().parents[1] / "ran", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.write(handle, (line + "\n").encode())
    os.close(handle)


def say(event: str, **values: object) -> None:
    """Write one event."""
    print(json.dumps({"event": event, **values}), flush=True)


def is_whole(path: str) -> bool:
    """Whether a file is what its name says."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() == Path(path).name


for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
    timed = job.get("time")
    note("timed" if timed else "run")
    if not all(map(is_whole, (job["model"], job["inputs"], __file__))):
        note("torn")
    say("loaded", **RUNTIME, load_ms=1.0)
    for index in range(timed.get("slices", 0) if timed else 0):
        time.sleep(timed["seconds"])
        say("slice", index=index, seconds=timed["seconds"] * (index + 1), runs=3, raw_ms=[1.0, 1.01, 1.02])
    if timed:
        time.sleep(timed["seconds"] / 10)
        say("done", raw_ms=[1.0 + 0.001 * (number % 7) for number in range(30)])
    else:
        say("progress", done=1, samples=4)
        time.sleep(0.1)
        shutil.copyfile(job["inputs"], job["outputs"])
        say("done", outputs=[{"scale": 0.1, "dtype": "int8", "shape": [16]}], raw_ms=[1.0] * 4)
    note("timed, done" if timed else "run, done")
